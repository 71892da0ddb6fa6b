/* A thin coat over libcurl's easy interface; one handle is kept, and with it the connection. */
#include "server/client/rest.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/codec/bytes.h"

enum { ANSWER_BYTES_MAX = 64 << 20, CONNECT_SECONDS = 5, ANSWER_SECONDS = 60 };

struct Rest {
    CURL *curl;
    const char *url;
    struct curl_slist *headers;
    Bytes answer;
};

Status rest_new(const char *url, Rest **ret, Error *err)
{
    Rest *rest = calloc(1, sizeof *rest);

    if (rest == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
        (rest->curl = curl_easy_init()) == NULL) {
        free(rest);
        return error_set(err, STATUS_NO_MEMORY, "cannot start the HTTP client");
    }
    rest->url = url;
    /* No "Expect": jobs are small, and waiting for 100 Continue would only delay them. */
    rest->headers = curl_slist_append(rest->headers, "Content-Type: application/json");
    rest->headers = curl_slist_append(rest->headers, "Expect:");
    *ret = rest;
    return STATUS_OK;
}

void rest_free(Rest *rest)
{
    if (rest == NULL)
        return;
    curl_slist_free_all(rest->headers);
    curl_easy_cleanup(rest->curl);
    bytes_clear(&rest->answer);
    free(rest);
    curl_global_cleanup();
}

static size_t take(char *part, size_t one, size_t size, void *context)
{
    Rest *rest = context;
    unsigned char *grown;

    if (rest->answer.size + size > ANSWER_BYTES_MAX)
        return 0;
    grown = realloc(rest->answer.data, rest->answer.size + size + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + rest->answer.size, part, size);
    rest->answer.data = grown;
    rest->answer.size += size;
    return size;
}

Status rest_call(Rest *rest, const char *path, const char *body, size_t size, long *ret_code,
                 json_t **ret_json, Error *err)
{
    CURL *c = rest->curl;
    char *url = NULL;
    CURLcode code;

    if (asprintf(&url, "%s%s", rest->url, path) < 0)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a URL");
    bytes_clear(&rest->answer);
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)ANSWER_SECONDS);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, rest->headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, rest);
    if (body != NULL) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    }
    code = curl_easy_perform(c);
    free(url);
    if (code != CURLE_OK)
        return error_set(err, STATUS_IO, "no answer from %.120s: %s", rest->url,
                         curl_easy_strerror(code));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, ret_code);
    *ret_json = rest->answer.data != NULL
                    ? json_loadb((char *)rest->answer.data, rest->answer.size, 0, NULL)
                    : NULL;
    return STATUS_OK;
}
