/* SHA-256 by GnuTLS, over a file in pieces. */
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>

#include "server/store/checkpoints.h"

enum { DIGEST_BYTES = 32 };

static void to_hex(const unsigned char digest[DIGEST_BYTES], char ret[SHA256_HEX])
{
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

Status sha256_file(const char *path, char ret[SHA256_HEX], uint64_t *ret_bytes, Error *err)
{
    unsigned char buffer[65536], digest[DIGEST_BYTES];
    gnutls_hash_hd_t hash;
    uint64_t bytes = 0;
    size_t n;
    bool failed;
    FILE *file = fopen(path, "rbe");

    if (file == NULL)
        return error_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open %s",
                           path);
    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0) {
        fclose(file);
        return error_set(err, STATUS_INTERNAL, "cannot start SHA-256");
    }
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0) {
        gnutls_hash(hash, buffer, n);
        bytes += n;
    }
    failed = ferror(file) != 0;
    fclose(file);
    gnutls_hash_deinit(hash, digest);
    if (failed)
        return error_set(err, STATUS_IO, "cannot read %s", path);
    to_hex(digest, ret);
    *ret_bytes = bytes;
    return STATUS_OK;
}

Status sha256_bytes(const void *bytes, size_t size, char ret[SHA256_HEX], Error *err)
{
    unsigned char digest[DIGEST_BYTES];

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, size, digest) < 0)
        return error_set(err, STATUS_INTERNAL, "cannot compute SHA-256");
    to_hex(digest, ret);
    return STATUS_OK;
}
