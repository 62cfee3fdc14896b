# Two chat completions over HTTP::Tiny and IO::Socket::SSL: a plain answer, and a stream.
use strict;
use warnings;
use HTTP::Tiny;

my $http = HTTP::Tiny->new(verify_SSL => 1, SSL_options => { SSL_ca_file => $ENV{MATRIX_CA} });
for my $stream ('false', 'true') {
    my $answer = $http->post("$ENV{MATRIX_URL}/v1/chat/completions", {
        headers => { 'content-type' => 'application/json', 'authorization' => 'Bearer k' },
        content => qq({"model": "gpt-4o-mini", "stream": $stream, "messages": []}),
    });
    die "$answer->{status} $answer->{content}" unless $answer->{success};
}
