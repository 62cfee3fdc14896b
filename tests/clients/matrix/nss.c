/* Two chat completions over the libcurl that is built with NSS: a plain answer, and a stream. It comes without headers:
   the constants are those of curl/curl.h, which the library keeps for good. */
#include <stdio.h>
#include <stdlib.h>

extern void *curl_easy_init(void);
extern int curl_easy_setopt(void *, int, ...);
extern int curl_easy_perform(void *);
extern void curl_easy_cleanup(void *);
extern void *curl_slist_append(void *, const char *);

enum { URL = 10002, POSTFIELDS = 10015, HTTPHEADER = 10023, FAILONERROR = 45, CAINFO = 10065, HTTP_VERSION = 84 };
enum { HTTP_2TLS = 4 };

int main(void) {
    static const char *bodies[] = {
        "{\"model\": \"gpt-4o-mini\", \"stream\": false, \"messages\": []}",
        "{\"model\": \"gpt-4o-mini\", \"stream\": true, \"messages\": []}",
    };
    char url[256];
    snprintf(url, sizeof url, "%s/v1/chat/completions", getenv("MATRIX_URL"));
    void *headers = curl_slist_append(NULL, "content-type: application/json");
    headers = curl_slist_append(headers, "authorization: Bearer k");
    void *curl = curl_easy_init();
    curl_easy_setopt(curl, URL, url);
    curl_easy_setopt(curl, CAINFO, getenv("MATRIX_CA"));
    curl_easy_setopt(curl, HTTPHEADER, headers);
    curl_easy_setopt(curl, FAILONERROR, 1L);
    curl_easy_setopt(curl, HTTP_VERSION, (long)HTTP_2TLS);
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        curl_easy_setopt(curl, POSTFIELDS, bodies[i]);
        int code = curl_easy_perform(curl);
        if (code) {
            fprintf(stderr, "libcurl: %d\n", code);
            failed = 1;
        }
    }
    curl_easy_cleanup(curl);
    return failed;
}
