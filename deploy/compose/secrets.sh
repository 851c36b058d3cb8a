#!/bin/sh
# Makes the tokens that compose.yaml hands out: one for an agent, one for Prometheus. Needs `xmguard` on the path.
set -eu
cd "$(dirname "$0")"
if [ -e secrets/tokens.toml ]; then
    echo "secrets/tokens.toml is there already; remove the folder secrets to make new ones" >&2
    exit 1
fi
umask 077
mkdir -p secrets
chmod 700 secrets
rm -f secrets/new.toml
# The hash goes to stdout, the token itself to stderr, once; and so does what went wrong, which nobody would look for in a file.
new() {
    file=$1
    shift
    if ! xmguard token new "$@" >>secrets/new.toml 2>"$file"; then
        cat "$file" >&2
        rm -f secrets/new.toml "$file"
        exit 1
    fi
}
new secrets/agent-token agent
new secrets/prometheus-token prometheus --scope admin
mv secrets/new.toml secrets/tokens.toml
# These two are mounted, and inside the containers another user reads them: the folder is what keeps everybody else on this
# machine out. The agent's token is mounted nowhere.
chmod 644 secrets/tokens.toml secrets/prometheus-token
echo "agent token: deploy/compose/secrets/agent-token" >&2
