/* form: multipart bodies as browsers and curl send them, and everything that is none. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/http.h"

#define TYPE "multipart/form-data; boundary=XX"
#define PART(name, bytes) \
    "--XX\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" bytes "\r\n"
#define END "--XX--\r\n"

/* The body lies in an allocation of its own size, so that reading past it is seen. */
static Status read_bytes(const char *type, const char *bytes, size_t size, char **ret_body,
                         Form *ret, Error *err)
{
    Request req = { .method = METHOD_POST, .content_type = type, .body_size = size };
    char *body = malloc(size > 0 ? size : 1);

    assert_non_null(body);
    memcpy(body, bytes, size);
    req.body = body;
    *ret_body = body;
    return request_form(&req, ret, err);
}

static void assert_part(const Form *form, const char *name, const char *bytes)
{
    const FormPart *part = form_part(form, name);

    assert_non_null(part);
    assert_int_equal(part->size, strlen(bytes));
    assert_memory_equal(part->bytes, bytes, part->size);
}

static void parts_come_by_their_names(void **state)
{
    static const char body[] = PART("spec", "{\"a\":1}") PART("image", "\r\n--X\r\nbytes--XX") END;
    Form form;
    char *owned;

    (void)state;
    assert_int_equal(read_bytes(TYPE, body, sizeof body - 1, &owned, &form, NULL), STATUS_OK);
    assert_int_equal(form.parts, 2);
    assert_part(&form, "spec", "{\"a\":1}");
    assert_part(&form, "image", "\r\n--X\r\nbytes--XX");
    assert_null(form_part(&form, "imag"));
    free(owned);
}

static void every_usual_spelling_is_read(void **state)
{
    static const struct {
        const char *type, *body, *content;
    } rows[] = {
        { "Multipart/Form-Data;boundary=\"XX\"", PART("a", "1") END, "1" },
        { "multipart/form-data; charset=utf-8; boundary=XX", PART("a", "1") "--XX--", "1" },
        { TYPE, PART("a", "") END, "" },
        { TYPE, "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--XX--\r\n", "" },
        { TYPE, "--XX\r\ncontent-disposition:form-data;name=a\r\n\r\n1\r\n" END, "1" },
        { TYPE,
          "--XX\r\nContent-Type: image/png\r\nContent-Disposition: form-data; name=\"a\"; "
          "filename=\"a \\\"b\\\" \xc3\xa4;=.png\"\r\nContent-Length: 1\r\n\r\n1\r\n" END,
          "1" },
        { TYPE,
          "--XX\r\nContent-Disposition: form-data; name=a; filename*=utf-8''%c3%a4\r\n"
          "Content-Transfer-Encoding: binary\r\n\r\n1\r\n" END,
          "1" },
        { "multipart/form-data; boundary=----WebKitFormBoundaryAbC123",
          "------WebKitFormBoundaryAbC123\r\nContent-Disposition: form-data; "
          "name=\"a\"\r\n\r\n1\r\n"
          "------WebKitFormBoundaryAbC123--\r\n",
          "1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Error err = { 0 };
        Form form;
        char *owned;

        if (read_bytes(rows[i].type, rows[i].body, strlen(rows[i].body), &owned, &form, &err) !=
            STATUS_OK)
            fail_msg("case %zu: %s", i, error_message(&err));
        assert_int_equal(form.parts, 1);
        assert_part(&form, "a", rows[i].content);
        free(owned);
    }
}

static void bytes_of_any_value_are_content(void **state)
{
    char body[600];
    size_t head = (size_t)snprintf(body, sizeof body, PART("a", ""));
    Form form;
    char *owned;

    (void)state;
    head -= 2;
    for (int i = 0; i < 256; i++)
        body[head + (size_t)i] = (char)i;
    memcpy(body + head + 256, "\r\n--XX--", 8);
    assert_int_equal(read_bytes(TYPE, body, head + 264, &owned, &form, NULL), STATUS_OK);
    assert_int_equal(form.part[0].size, 256);
    assert_memory_equal(form.part[0].bytes, body + head, 256);
    free(owned);
}

static void what_is_no_form_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *type, *body;
        Status status;
    } rows[] = {
        { NULL, PART("a", "1") END, STATUS_MEDIA_TYPE },
        { "", PART("a", "1") END, STATUS_MEDIA_TYPE },
        { "application/json", PART("a", "1") END, STATUS_MEDIA_TYPE },
        { "multipart/mixed; boundary=XX", PART("a", "1") END, STATUS_MEDIA_TYPE },
        { "multipart/form-data", PART("a", "1") END, STATUS_MALFORMED },
        { "multipart/form-data; boundary=", PART("a", "1") END, STATUS_MALFORMED },
        { "multipart/form-data; boundary=\"XX", PART("a", "1") END, STATUS_MALFORMED },
        { "multipart/form-data boundary=XX", PART("a", "1") END, STATUS_MALFORMED },
        { TYPE, "", STATUS_MALFORMED },
        { TYPE, "--XX", STATUS_MALFORMED },
        { TYPE, "--XX\r\n", STATUS_MALFORMED },
        { TYPE, PART("a", "1"), STATUS_MALFORMED },
        { TYPE, "before\r\n" PART("a", "1") END, STATUS_MALFORMED },
        { TYPE, PART("a", "1") END "behind", STATUS_MALFORMED },
        { TYPE, PART("a", "1") "--XX-X--\r\n", STATUS_MALFORMED },
        { TYPE, PART("a", "1") PART("a", "2") END, STATUS_MALFORMED },
        { TYPE, PART("", "1") END, STATUS_MALFORMED },
        { TYPE, PART("../a", "1") END, STATUS_MALFORMED },
        { TYPE, "--XX\r\n\r\n1\r\n" END, STATUS_MALFORMED },
        { TYPE, "--XX\r\nContent-Type: text/plain\r\n\r\n1\r\n" END, STATUS_MALFORMED },
        { TYPE, "--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n" END,
          STATUS_MALFORMED },
        { TYPE, "--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n" END,
          STATUS_MALFORMED },
        { TYPE, "--XX\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n1\r\n" END,
          STATUS_MALFORMED },
        { TYPE, "--XX\r\nno header\r\n\r\n1\r\n" END, STATUS_MALFORMED },
        { TYPE, "--XX\r\n: x\r\n\r\n1\r\n" END, STATUS_MALFORMED },
        { TYPE, "--XX\nContent-Disposition: form-data; name=a\n\n1\n--XX--\n", STATUS_MALFORMED },
        { TYPE,
          "--XX\r\nContent-Disposition: form-data; name=a\r\n"
          "Content-Transfer-Encoding: base64\r\n\r\nMQ==\r\n" END,
          STATUS_MALFORMED },
        { TYPE,
          PART("a", "") PART("b", "") PART("c", "") PART("d", "") PART("e", "") PART("f", "")
              PART("g", "") PART("h", "") PART("i", "") END,
          STATUS_MALFORMED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Error err = { 0 };
        Form form;
        char *owned;
        Status s =
            read_bytes(rows[i].type, rows[i].body, strlen(rows[i].body), &owned, &form, &err);

        if (s != rows[i].status || error_message(&err)[0] == '\0')
            fail_msg("case %zu: %s \"%s\"", i, status_name(s), error_message(&err));
        free(owned);
    }
}

static void long_headers_are_refused(void **state)
{
    static const char start[] = "--XX\r\nContent-Disposition: form-data; name=a\r\nX: ";
    enum { LONG = 100000 };
    char *body = malloc(LONG);
    Form form;
    char *owned;

    (void)state;
    assert_non_null(body);
    memset(body, 'x', LONG);
    memcpy(body, start, sizeof start - 1);
    memcpy(body + LONG - 16, "\r\n\r\n1\r\n" END, 15);
    assert_int_equal(read_bytes(TYPE, body, LONG - 1, &owned, &form, NULL), STATUS_MALFORMED);
    free(owned);
    free(body);
}

static void a_cut_form_is_refused_wherever_it_is_cut(void **state)
{
    static const char body[] = PART("spec", "{}") PART("image", "bytes") "--XX--";
    Form form;
    char *owned;

    (void)state;
    for (size_t size = 0; size < sizeof body - 1; size++) {
        assert_int_equal(read_bytes(TYPE, body, size, &owned, &form, NULL), STATUS_MALFORMED);
        free(owned);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_by_their_names),
        cmocka_unit_test(every_usual_spelling_is_read),
        cmocka_unit_test(bytes_of_any_value_are_content),
        cmocka_unit_test(what_is_no_form_is_refused_with_a_reason),
        cmocka_unit_test(long_headers_are_refused),
        cmocka_unit_test(a_cut_form_is_refused_wherever_it_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
