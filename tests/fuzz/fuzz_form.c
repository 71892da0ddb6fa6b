/* Any bytes as a form: the first line is its Content-Type, the rest its body. Parts that lie in the
 * body, under names of their own, or a refusal with a reason. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_form: %s\n", what);
        abort();
    }
}

static void check_parts(const Request *req, const Form *form)
{
    require(form->parts <= MULTIPART_PARTS_MAX, "too many parts");
    for (uint32_t i = 0; i < form->parts; i++) {
        const FormPart *part = &form->part[i];
        size_t length = strnlen(part->name, MULTIPART_NAME_MAX);

        require(length > 0 && length < MULTIPART_NAME_MAX, "a name without an end");
        require(strspn(part->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "_-") == length,
                "a name with something odd");
        require(part->bytes >= req->body && part->bytes + part->size <= req->body + req->body_size,
                "a part outside the body");
        require(form_part(form, part->name) == part, "a name twice");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint8_t *line = memchr(bytes, '\n', size);
    size_t head = line != NULL ? (size_t)(line - bytes) : size;
    size_t body_size = line != NULL ? size - head - 1 : 0;
    char *type = strndup((const char *)bytes, head), *body = malloc(body_size > 0 ? body_size : 1);
    Request req = { .method = METHOD_POST, .content_type = type, .body_size = body_size };
    Error err = { 0 };
    Form form;
    Status s;

    require(type != NULL && body != NULL, "out of memory");
    if (body_size > 0)
        memcpy(body, line + 1, body_size);
    req.body = body;
    s = request_form(&req, &form, &err);
    if (s == STATUS_OK)
        check_parts(&req, &form);
    else
        require((s == STATUS_MALFORMED || s == STATUS_MEDIA_TYPE) && error_message(&err)[0] != '\0',
                "refused without a reason");
    free(type);
    free(body);
    return 0;
}
