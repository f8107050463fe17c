#!/bin/sh
# Layering: a file includes its own layer and the layers before it, nothing else; wolfSSL is
# included in pki/ and tls/ only; policy/ includes no sockets, files or TLS.
set -eu
layers="base policy config pki audit net tls check proxy cli"
bad=0
complain() { echo "layers: $1" >&2; bad=1; }
allowed=
for layer in $layers; do
    allowed="$allowed $layer"
    for file in src/"$layer"/* include/"$layer"/*; do
        [ -f "$file" ] || continue
        for included in $(sed -n 's/^#include "\([a-z0-9_]*\)\/.*/\1/p' "$file"); do
            case " $allowed " in
            *" $included "*) ;;
            *) complain "$file includes $included/, which is not above $layer/" ;;
            esac
        done
        case $layer in
        pki | tls) ;;
        *) ! grep -qE '#include (<wolfssl|"pki/wolfcrypt.h)' "$file" ||
            complain "$file includes wolfSSL outside pki/ and tls/" ;;
        esac
        case $layer in
        policy) ! grep -qE '#include <(sys/socket|fcntl|unistd|ev|ares)' "$file" ||
            complain "$file: policy/ is pure" ;;
        esac
    done
done
# Every header of a layer has its source, or is one of those that are all inline or tables.
for header in include/*/*.h; do
    source=src/${header#include/}
    source=${source%.h}.c
    case $header in
    include/base/attr.h | include/base/reader.h | include/base/stream.h | include/pki/wolfcrypt.h | include/pki/registers.h | include/policy/wire.h) continue ;;
    esac
    [ -f "$source" ] || complain "$header has no $source"
done
exit $bad
