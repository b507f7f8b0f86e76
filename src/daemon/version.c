#include "version.h"

#include <stdio.h>

#include "commands.h"
#include "http2/session.h"
#include "net/loop.h"

void print_version(void)
{
	printf("%s, version %s (branch: %s, revision: %s)\n", ECHOD_NAME, echod_version,
	       echod_branch, echod_revision);
	printf("  compiler: %s\n", echod_compiler);
	printf("  libuv:    %s\n", net_library_version());
	printf("  nghttp2:  %s\n", http2_library_version());
}
