# Two chat completions over Net::HTTP: a plain answer, and a stream.
require "json"
require "net/http"

url = URI(ENV.fetch("MATRIX_URL"))
headers = { "content-type" => "application/json", "authorization" => "Bearer k" }
Net::HTTP.start(url.host, url.port, use_ssl: true, ca_file: ENV.fetch("MATRIX_CA")) do |http|
  [false, true].each do |stream|
    body = JSON.generate(model: "gpt-4o-mini", stream: stream, messages: [])
    answer = http.post("/v1/chat/completions", body, headers)
    raise answer.inspect unless answer.is_a?(Net::HTTPOK)
  end
end
