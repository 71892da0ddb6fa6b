# Sourced by ./run and ./check, from the root of the tree: makes the machine and the build directories ready. Every step is skipped
# where nothing changed, so that a second run needs no network.

say() {
    printf '\n== %s\n' "$*"
}

# packages_ready GROUP... -- installs the missing packages of packages.txt.
packages_ready() {
    local group package command missing=() root=()

    while read -r group package command; do
        [[ " $* " == *" $group "* ]] || continue
        [ -n "$command" ] && command -v "$command" >/dev/null && continue
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done <packages.txt
    [ ${#missing[@]} -eq 0 ] && return

    say "Installing ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# web_ready -- the dashboard's node_modules, as the lock file says.
web_ready() {
    local stamp=web/node_modules/.installed-from major

    cmp -s web/package-lock.json "$stamp" && return
    major=$(node -p 'process.versions.node.split(".")[0]')
    if [ "$major" -lt 18 ]; then
        echo "node 18 or newer is needed for the dashboard; this is $(node --version)" >&2
        return 1
    fi
    say "Fetching the dashboard's tools (npm ci)"
    npm ci --prefix web --ignore-scripts --no-progress && cp web/package-lock.json "$stamp"
    touch web/meson.build # build directories that were made without the tools look for them again
}

# build_ready DIR [MESON OPTION...] -- configures DIR if it is not yet, and builds it.
build_ready() {
    local dir=$1
    shift

    say "Building $dir"
    [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@"
    ninja -C "$dir"
}
