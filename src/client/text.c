#include "client/text.h"

int text_failure(struct buffer *out, enum grpc_status status, struct str message)
{
	int err = buffer_printf(out, "%s (%d)", grpc_status_name((int)status), (int)status);

	if (message.len > 0) {
		TEXT_CHAIN(err, buffer_append_str(out, STR(": ")));
		TEXT_CHAIN(err, text_visible(out, message));
	}
	return err;
}
