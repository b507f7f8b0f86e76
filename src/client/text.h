/* base/text.h, and what a call came to. */
#pragma once

#include "base/text.h"
#include "grpc/status.h"

/* "UNAVAILABLE (14): connection refused" without a newline: a failed call, in one line. */
int text_failure(struct buffer *out, enum grpc_status status, struct str message);
