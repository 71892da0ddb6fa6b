/*
 * web -- the dashboard's files, embedded: index.html, app.css, favicon.svg and, unless it is the
 * placeholder, app.js.
 *
 * The server answers / with index.html and /assets/NAME with the others. Made at build time; see
 * meson.build.
 */
#pragma once

#include "core/base/embedded.h"

extern const EmbeddedFile web_files[]; /* ended by a NULL name */
