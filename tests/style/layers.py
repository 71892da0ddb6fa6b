#!/usr/bin/env python3
"""Arrows only go down: which folder may include which, and which file may include which library's header.

The tables below are the architecture. The rule reads the #include lines of core/ and server/, and the `dependencies:` of
their meson.build files.
"""
import os
import re

import rule

# A folder may use itself and what is listed here, nothing else. Names are folders; '*' takes all folders below a prefix.
COMPUTE = 'core/nn core/graph core/ops core/kernels core/base'
USES = {
    'core/base': '',
    'core/kernels': 'core/base',
    'core/ops': 'core/kernels core/base',
    'core/graph': 'core/ops core/kernels core/base',
    'core/nn': 'core/graph core/ops core/kernels core/base',
    'core/data': 'core/kernels core/base',
    'core/train': f'{COMPUTE} core/data',
    'core/search': f'{COMPUTE} core/data core/train',
    'core/explain': f'{COMPUTE} core/data',
    'core/quality': f'{COMPUTE} core/data core/explain',
    'core/lease': 'core/*',
    'server/config': 'core/base',
    'server/store': 'core/base',
    'server/codec': 'server/config core/*',
    'server/http': 'server/config server/codec core/base web',
    'server/jobs': 'server/codec server/store server/config core/*',
    'server/api': 'server/http server/jobs server/store server/codec server/config core/*',
    'server/client': 'server/config server/codec core/base',
    'server': 'server/* core/*',  # main.c: wiring, nothing else
}

# header -> the files or folders that may include it.
LIBRARIES = {
    'microhttpd.h': 'server/http',
    'sqlite3.h': 'server/store',
    'jansson.h': 'core/nn/safetensors.c server',
    'png.h': 'core/data/image_png.c server/codec',
    'jpeglib.h': 'core/data/image_jpeg.c',
    'archive.h': 'core/data/folder_archive.c',
    'curl/curl.h': 'server/client',
    'cblas.h': 'core/kernels',
    'openblas_config.h': 'core/kernels',
    'immintrin.h': 'core/kernels',
    'x86intrin.h': 'core/kernels',
    'xmmintrin.h': 'core/kernels core/base/parallel.c',  # the pool sets the floating-point control word
    'pmmintrin.h': 'core/kernels core/base/parallel.c',
}

# meson's name of a library's dependency -> its header above.
MESON = {'microhttpd_dep': 'microhttpd.h', 'sqlite_dep': 'sqlite3.h', 'png_dep': 'png.h', 'jpeg_dep': 'jpeglib.h',
         'archive_dep': 'archive.h', 'curl_dep': 'curl/curl.h', 'openblas_dep': 'cblas.h'}


def within(name, places):
    """Is the folder or file `name` one of, or below one of, `places`?"""
    return any(name == p or name.startswith(p.rstrip('*').rstrip('/') + '/') for p in places.split())


def may_use(folder, other):
    allowed = USES[folder].split()
    return other == folder or other in allowed or any(a.endswith('/*') and other.startswith(a[:-1]) for a in allowed)


def folder_of(name):
    """'core/ops/op.h' -> 'core/ops', 'server/main.c' -> 'server', 'web/x' -> 'web'."""
    parts = name.split('/')[:-1]
    return '/'.join(parts[:2]) if parts and parts[0] in ('core', 'server') else parts[0] if parts else ''


def generated(tree, folder, header):
    """Is `header` one that the folder's meson.build writes (a table made from a list)? Those have no place below the root."""
    build = f'{folder}/meson.build'
    return os.path.exists(tree.path(build)) and f"'{header}'" in tree.text(build)


def include_violations(tree, name):
    folder = folder_of(name)
    if folder not in USES:
        yield f'{name}: {folder} has no row in the table of floors'
        return
    for number, line in enumerate(tree.text(name).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not match:
            continue
        header, here = match.group(2), f'{name}:{number}'
        if match.group(1) == '"':
            other = folder_of(header)
            if other == '' and generated(tree, os.path.dirname(name), header):
                continue
            if other == '' or '..' in header:
                yield f'{here}: "{header}" is not written from the root'
            elif not may_use(folder, other):
                yield f'{here}: {folder} may not use {other} ("{header}")'
        if header in LIBRARIES and not within(name, LIBRARIES[header]):
            yield f'{here}: only {LIBRARIES[header]} may include <{header}>'


def meson_violations(tree, name):
    folder = os.path.dirname(name)
    text = re.sub(r'#[^\n]*', '', tree.text(name))
    for word in sorted(set(re.findall(r'\b(\w+)_dep\b', text))):
        header = MESON.get(word + '_dep')
        others = [f for f in USES if f.endswith('/' + word)]
        if header and not (within(folder, LIBRARIES[header]) or within(LIBRARIES[header], folder)):
            yield f'{name}: {folder} may not link {word}_dep'
        if folder != 'server' and any(not may_use(folder, other) for other in others):
            yield f'{name}: {folder} may not depend on {word}_dep'


def layers(tree):
    violations = []
    for name in tree.files('.c', '.h', under=('core', 'server')):
        violations += include_violations(tree, name)
    for name in tree.files('meson.build', under=('core', 'server')):
        if os.path.dirname(name) in USES:
            violations += meson_violations(tree, name)
    return violations


BAD = [
    ('core/base/x.c', '#include "core/kernels/gemm.h"\n', 'core/base may not use core/kernels'),
    ('core/ops/x.c', '#include "core/graph/plan.h"\n', 'core/ops may not use core/graph'),
    ('core/nn/x.h', '#include "core/data/loader.h"\n', 'core/nn may not use core/data'),
    ('core/explain/x.c', '#include "core/train/trainer.h"\n', 'core/explain may not use core/train'),
    ('core/train/x.c', '#include "server/store/store.h"\n', 'core/train may not use server/store'),
    ('core/search/x.c', '#include "core/lease/lease.h"\n', 'core/search may not use core/lease'),
    ('server/store/x.c', '#include "server/jobs/queue.h"\n', 'server/store may not use server/jobs'),
    ('server/http/x.c', '#include "server/api/api.h"\n', 'server/http may not use server/api'),
    ('server/jobs/x.c', '#include "server/http/http.h"\n', 'server/jobs may not use server/http'),
    ('server/client/x.c', '#include "server/store/store.h"\n', 'server/client may not use server/store'),
    ('core/ops/x.c', '#include "op.h"\n', 'not written from the root'),
    ('core/ops/x.c', '#include "../base/error.h"\n', 'not written from the root'),
    ('core/attic/x.c', '\n', 'no row in the table'),
    ('server/api/x.c', '#include <microhttpd.h>\n', 'only server/http may include'),
    ('server/jobs/x.c', '#  include <sqlite3.h>\n', 'only server/store may include'),
    ('core/ops/x.c', '#include <cblas.h>\n', 'only core/kernels may include'),
    ('core/data/x.c', '#include <immintrin.h>\n', 'only core/kernels may include'),
    ('core/nn/model.c', '#include <jansson.h>\n', 'may include <jansson.h>'),
    ('server/api/x.c', '#include <curl/curl.h>\n', 'only server/client may include'),
    ('server/api/x.c', '#include <png.h>\n', 'may include <png.h>'),
    ('core/data/folder.c', '#include <archive.h>\n', 'may include <archive.h>'),
    ('core/ops/meson.build', "x = static_library('x', dependencies: [graph_dep])\n", 'may not depend on graph_dep'),
    ('server/jobs/meson.build', "x = static_library('x', dependencies: [http_dep])\n", 'may not depend on http_dep'),
    ('server/api/meson.build', "x = static_library('x', dependencies: [sqlite_dep])\n", 'may not link sqlite_dep'),
]
GOOD = [
    ('core/base/error.c', '#include <stdio.h>\n#include "core/base/error.h"\n'),
    ('core/nn/safetensors.c', '#include <jansson.h>\n#include "core/base/error.h"\n'),
    ('core/lease/lease.c', '#include "core/search/search.h"\n#include "core/train/trainer.h"\n'),
    ('core/kernels/gemm.c', '#include <cblas.h>\n#include <immintrin.h>\n'),
    ('server/api/jobs.c', '#include "server/http/http.h"\n#include "core/explain/render.h"\n'),
    ('core/ops/op.c', '#include "op_table.h"\n'),
    ('core/ops/meson.build', "configure_file(output: 'op_table.h', configuration: rows)\n"),
    ('server/store/db.c', '#include <sqlite3.h>\n'),
    ('server/store/meson.build', "x = static_library('x', dependencies: [base_dep, sqlite_dep])\n"),
    ('server/main.c', '#include "server/api/api.h"\n#include "core/base/error.h"\n'),
]

if __name__ == '__main__':
    rule.main(layers, BAD, GOOD)
