// Two chat completions with net/http: a plain answer, and a stream.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	if err := calls(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func calls() error {
	pem, err := os.ReadFile(os.Getenv("MATRIX_CA"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport}
	for _, stream := range []bool{false, true} {
		body := fmt.Sprintf(`{"model": "gpt-4o-mini", "stream": %t, "messages": []}`, stream)
		url := os.Getenv("MATRIX_URL") + "/v1/chat/completions"
		request, err := http.NewRequest("POST", url, strings.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer k")
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil {
			return err
		}
		if answer.StatusCode != 200 {
			return fmt.Errorf("status %s", answer.Status)
		}
	}
	return nil
}
