#!/bin/sh
# The same steps with the models that this repository brings, offline and without a GPU: SmolLM2-135M and smolvlm-tiny, the
# rule judge, few and short cases. What comes out is an analogue: it says that the steps work, nothing of the paper's models.
#
#     sh research/repro/analogue.sh
#
# Pictures need the plugins xmguard-image and xmguard-smolvlm-tiny.
set -eu

out=${OUT:-build/repro/analogue}
items=${ITEMS:-2}

text() {
    xmguard bench run clqa --model smollm2 --log-dir "$out" --protocol paper --items "$items" \
        -T topics=40 -T size=short -T variants=en-en,es-es,en-es "$@"
}
picture() {
    xmguard bench run cmqa-mini --model smolvlm-tiny --log-dir "$out" --protocol paper --items "$items" "$@"
}
for suite in text picture; do
    "$suite"
    "$suite" --pairing figure5
    for scope in ${SCOPES:-readers all generated}; do
        for epsilon in ${EPSILONS:-1 2}; do
            "$suite" --pairing figure5 --policy fixed --epsilon "$epsilon" --scope "$scope"
        done
    done
done
xmguard bench table --log-dir "$out"
