<?php
// Two chat completions over PHP's own streams: a plain answer, and a stream.
foreach ([false, true] as $stream) {
    $context = stream_context_create([
        'ssl' => ['cafile' => getenv('MATRIX_CA')],
        'http' => [
            'method' => 'POST',
            'header' => "content-type: application/json\r\nauthorization: Bearer k\r\n",
            'content' => json_encode(['model' => 'gpt-4o-mini', 'stream' => $stream, 'messages' => []]),
        ],
    ]);
    if (file_get_contents(getenv('MATRIX_URL') . '/v1/chat/completions', false, $context) === false) {
        exit(1);
    }
}
