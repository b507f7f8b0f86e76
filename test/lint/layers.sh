#!/usr/bin/env bash
# Who may include whom: docs/ARCHITECTURE.md has the table and its reasons.
. "$(dirname "$0")/lib.bash"

declare -A may=(
	[base]='base'
	[metrics]='metrics base'
	[http1]='http1 base'
	[http2]='http2 base metrics'
	[net]='net base metrics'
	[web]='web base metrics http1'
	[grpc]='grpc base metrics http2'
	[service]='service base metrics grpc'
	[daemon]='daemon base metrics http1 http2 net web grpc service .'
	[client]='client base metrics http1 http2 net web grpc service .'
	[.]='.'
)
# A library, and the only place where its headers are seen.
declare -A home=(
	[uv.h]='src/net/'
	[nghttp2/]='src/http2/'
	[llhttp.h]='src/http1/'
	[protobuf-c/]='src/grpc/'
	[systemd/]='src/daemon/systemd.c'
	[openssl/]='src/net/'
	[zlib.h]='src/base/'
)
generated='^(grpc|service|daemon|client)$' # layers that may see *.pb-c.h

includes() { # FILE...: "file line header" of each #include
	grep -HnoE '^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*[<"][^>"]+[>"]' "$@" /dev/null |
		sed -E 's/^([^:]*):([0-9]+):.*include[[:blank:]]*([<"][^>"]+)[>"]/\1 \2 \3/'
}

check_layer() { # LAYER FILE...
	local layer=$1 file line header target library
	shift
	includes "$@" | while read -r file line header; do
		case $header in
		'<'*)
			for library in "${!home[@]}"; do
				if [[ ${header#<} == "$library"* && $file != "${home[$library]}"* ]]; then
					echo "$file:$line: ${header#<} is for ${home[$library]} alone"
				fi
			done
			;;
		*.pb-c.h)
			[[ $layer =~ $generated ]] || echo "$file:$line: ${header#?}: generated messages end at grpc"
			;;
		*)
			target=${header#?}
			if [[ $target == */* ]]; then
				target=${target%%/*}
			elif [ -f "src/$target" ]; then
				target=.
			elif [ -f "src/$target.in" ]; then
				target=.
			else
				echo "$file:$line: ${header#?}: name headers from src/, as \"layer/name.h\""
				continue
			fi
			[[ " ${may[$layer]} " == *" $target "* ]] ||
				echo "$file:$line: ${header#?}: $layer may include ${may[$layer]}"
			if [[ $header == *_p.h && $target != "$layer" ]]; then
				echo "$file:$line: ${header#?} is private to src/$target/"
			fi
			;;
		esac
	done
}

for layer in base metrics http1 http2 net web grpc service daemon client; do
	mapfile -t sources < <(files "src/$layer/*.[ch]")
	check_layer "$layer" "${sources[@]}" | verdict "includes of src/$layer"
done
mapfile -t sources < <(files 'src/*.[ch]' | grep -vE '^src/.*/')
check_layer . "${sources[@]}" | verdict "includes of src/"
for layer in src/*/; do
	layer=$(basename "$layer")
	[ -n "${may[$layer]:-}" ] || echo "src/$layer is in no row of the table"
done | verdict "every folder of src is a layer"
