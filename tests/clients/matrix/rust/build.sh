#!/bin/sh
# build.sh SOURCE INSTALL SHARED FEATURE: builds the client with one TLS stack. In a directory named newest, every dependency is the
# newest that its requirement allows.
set -eu
source=$1 install=$2 shared=$3 feature=$4
mkdir -p "$install/source"
cp -R "$source/." "$install/source"
cd "$install/source"
locked=--locked
case $install in
*/newest/*)
    cargo update --quiet
    locked=
    ;;
esac
# shellcheck disable=SC2086
CARGO_TARGET_DIR=$shared cargo build --quiet --release $locked --features "$feature"
cp "$shared/release/matrix-client" "$install/client"
