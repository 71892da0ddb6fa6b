/* Copy first, then change; a crash in the middle leaves either schema whole, because SQLite's DDL
 * and user_version are transactional. */
#include "server/store/migrate.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/store/folder.h"
#include "server/store/sql.h"
#include "server/store/store.h"

static Status sync_file(const char *path, Error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Status s = STATUS_OK;

    if (fd < 0 || fsync(fd) != 0)
        s = error_errno(err, STATUS_IO, "cannot sync %s", path);
    if (fd >= 0)
        close(fd);
    return s;
}

static Status back_up(sqlite3 *db, int64_t version, const char *folder, Error *err)
{
    char *path;
    Status s = folder_create(folder, err);

    if (s != STATUS_OK)
        return s;
    if (asprintf(&path, "%s/leased-v%lld-%lld.db", folder, (long long)version,
                 (long long)store_now_ms()) < 0)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a path");
    s = sql_run(db, err, "VACUUM INTO ?1", "s", path);
    if (s == STATUS_OK)
        s = sync_file(path, err);
    free(path);
    return s;
}

static Status apply(sqlite3 *db, const EmbeddedFile *migration, int64_t version, Error *err)
{
    char text[64];
    Status s;

    snprintf(text, sizeof text, "PRAGMA user_version = %lld", (long long)version);
    s = sql_script(db, "BEGIN IMMEDIATE", err);
    if (s != STATUS_OK)
        return s;
    s = sql_script(db, (const char *)migration->bytes, err);
    if (s == STATUS_OK)
        s = sql_script(db, text, err);
    if (s == STATUS_OK)
        s = sql_script(db, "COMMIT", err);
    if (s != STATUS_OK)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return s;
}

Status migrate(sqlite3 *db, const EmbeddedFile *migrations, const char *backup_folder, Error *err)
{
    int64_t version = 0, newest = 0;
    Status s = sql_int(db, 0, &version, err, "PRAGMA user_version", "");

    while (migrations[newest].name != NULL)
        newest++;
    if (s == STATUS_OK && version > newest)
        return error_set(
            err, STATUS_CONFLICT,
            "the database has schema %lld, this program knows %lld: it was written by a newer one",
            (long long)version, (long long)newest);
    if (s == STATUS_OK && version > 0 && version < newest)
        s = back_up(db, version, backup_folder, err);
    for (; s == STATUS_OK && version < newest; version++)
        s = apply(db, &migrations[version], version + 1, err);
    return s;
}
