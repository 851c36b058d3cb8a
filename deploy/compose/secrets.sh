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
# The hash goes to stdout, the token itself to stderr, once.
xmguard token new agent >secrets/tokens.toml 2>secrets/agent-token
xmguard token new prometheus --scope admin >>secrets/tokens.toml 2>secrets/prometheus-token
# Who reads them inside the containers is another user: the folder is closed to everybody else on this machine.
chmod 644 secrets/*
echo "agent token: deploy/compose/secrets/agent-token" >&2
