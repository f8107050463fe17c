#!/bin/sh
# Puts down or takes away what .make/installed lists, below DESTDIR, or prints the files of a kind.
# usage: BUILD= PREFIX= SYSCONFDIR= DESTDIR= install.sh put | take | list KIND
set -eu
what=$1 kind_wanted=${2:-}
# The folder that zsh itself searches below /usr/local; below /usr Debian has another.
zsh=site-functions
[ "$PREFIX" = /usr ] && zsh=vendor-completions
fitted=$(mktemp)
trap 'rm -f "$fitted"' EXIT

# Paths: those of the sample are for make run, those of the unit for the standard PREFIX. The sample
# leaves the user open, as make run needs none.
fit() {
    sed -e "s|\.\./certs/|$SYSCONFDIR/suitegate/|" -e 's|\.\./build/|/var/log/suitegate/|' \
        -e 's|^;\(user = suitegate\)$|\1|' -e "s|/usr/local/bin/|$PREFIX/bin/|" \
        -e "s|/etc/suitegate|$SYSCONFDIR/suitegate|g" "$1" >"$fitted"
}

put() {
    [ "$kind" = config ] && [ -e "$DESTDIR$to" ] && { echo "install: kept $DESTDIR$to"; return; }
    echo "install: $DESTDIR$to"
    install -D -m "$mode" "$from" "$DESTDIR$to"
}

take() {
    [ -e "$DESTDIR$to" ] || return 0
    if [ "$kind" = config ] && ! cmp -s "$from" "$DESTDIR$to"; then
        echo "uninstall: kept $DESTDIR$to, which was changed"
    else
        echo "uninstall: $DESTDIR$to"
        rm -f "$DESTDIR$to"
    fi
}

# Only folders of suitegate's own.
take_folder() {
    case $1 in */suitegate/*) rmdir "$DESTDIR$1" 2>/dev/null || true ;; esac
}

each_file() {
    for from in $file; do
        to=$where
        case $to in */) to=$to${from##*/} ;; esac
        case $kind in
        fitted | config) fit "$from"; from=$fitted ;;
        esac
        case $what in
        list) echo "$to" ;;
        *) "$what" ;;
        esac
    done
}

folders=
while read -r kind mode file where; do
    case $kind in '#'* | '') continue ;; esac
    [ "$what" != list ] || [ "$kind" = "$kind_wanted" ] || continue
    where=$(echo "$where" | sed -e "s|@PREFIX@|$PREFIX|" -e "s|@SYSCONFDIR@|$SYSCONFDIR|" \
        -e "s|@ZSH@|$zsh|")
    file=$(echo "$file" | sed "s|@BUILD@|$BUILD|")
    if [ "$kind" != folder ]; then each_file
    elif [ "$what" = put ]; then install -d -m "$mode" "$DESTDIR$where"
    fi
    folders="$where $folders" # the inner ones first
done <"$(dirname "$0")/installed"
[ "$what" != take ] || for where in $folders; do take_folder "$where"; done
