#include "client/call_report.h"

#include "client/tree.h"
#include "grpc/wire.h"

static void set_value(struct tree *tree, json_t *values, const struct metadata_entry *entry)
{
	struct buffer text = BUFFER_INIT;
	struct bytes raw = { (const uint8_t *)entry->value.data, entry->value.len };

	if (!metadata_is_binary(entry->name)) {
		tree_text(tree, values, NULL, entry->value);
		return;
	}
	if (grpc_base64_encode(raw, &text) < 0) {
		tree->failed = true;
	} else {
		struct bytes bytes = buffer_bytes(&text);

		tree_text(tree, values, NULL,
			  bytes.len > 0 ? (struct str){ (const char *)bytes.data, bytes.len }
					: STR(""));
	}
	buffer_free(&text);
}

/*
 * {"name":["value",...],...}: order and duplicates kept within a name; "-bin" values in
 * base64. The names that there can be (metadata.h) are ASCII, without a NUL.
 */
static void set_metadata(struct tree *tree, const char *name, const struct metadata *metadata)
{
	const struct metadata_entry *entry = metadata ? metadata->first : NULL;
	json_t *object = tree_object(tree, tree->root, name);

	for (; entry && object && !tree->failed; entry = entry->next) {
		struct buffer key = BUFFER_INIT;

		if (buffer_append_str(&key, entry->name) < 0 || buffer_append(&key, "", 1) < 0) {
			tree->failed = true;
		} else {
			const char *text = (const char *)buffer_data(&key);
			json_t *values = json_object_get(object, text);

			values = values ? values : tree_array(tree, object, text);
			set_value(tree, values, entry);
		}
		buffer_free(&key);
	}
}

int call_report_json(struct buffer *out, const struct call_report *call)
{
	struct tree tree;
	int err = tree_init(&tree);
	json_t *root = tree.root;

	tree_text(&tree, root, "target", str_from(call->target));
	tree_text(&tree, root, "peer", str_from(call->peer));
	tree_text(&tree, root, "status", str_from(grpc_status_name((int)call->status)));
	tree_count(&tree, root, "code", (uint64_t)call->status);
	tree_text(&tree, root, "message", call->message.len > 0 ? call->message : STR(""));
	tree_bool(&tree, root, "never_found", call->never_found);
	if (call->replied) {
		tree_text(&tree, root, "reply", call->reply.len > 0 ? call->reply : STR(""));
		tree_bool(&tree, root, "echoed", !call->mismatched);
	}
	tree_real(&tree, root, "latency_seconds", (double)call->latency_ns / NS_PER_S);
	tree_count(&tree, root, "attempts", call->attempts);
	if (call->injected.word != INJECTED_NOTHING) {
		tree_text(&tree, root, "injected",
			  str_from(injected_word_name(call->injected.word)));
	}
	if (call->injected.delay_ns > 0) {
		tree_real(&tree, root, "injected_delay_seconds",
			  (double)call->injected.delay_ns / NS_PER_S);
	}
	set_metadata(&tree, "initial_metadata", call->initial);
	set_metadata(&tree, "trailing_metadata", call->trailing);
	if (err == 0) {
		err = tree_print(&tree, out);
	}
	tree_deinit(&tree);
	return err;
}
