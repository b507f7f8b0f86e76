/*
 * descriptor.proto is read by hand, and of it only names and what nests in what:
 * a table says which fields those are.
 */
#include "service/descriptors.h"

#include <stdlib.h>

enum wire_type { VARINT, FIXED64, LENGTH_PREFIXED, FIXED32 = 5 };

/* What a declaration is. */
enum kind { NOTHING, LEAF, MESSAGE, ENUM, SERVICE, EXTENSION, FILE_SCOPE };

/* FileDescriptorSet, FileDescriptorProto, and FieldDescriptorProto of an extension. */
enum {
	SET_FILE = 1,
	ANY_NAME = 1,
	FILE_PACKAGE = 2,
	FILE_DEPENDENCY = 3,
	FIELD_EXTENDEE = 2,
	FIELD_NUMBER = 3,
};

/* Which field of a declaration declares what within it. */
#define MAX_MEMBER 8
static const uint8_t members[][MAX_MEMBER + 1] = {
	[FILE_SCOPE] = { [4] = MESSAGE, [5] = ENUM, [6] = SERVICE, [7] = EXTENSION },
	[MESSAGE] = { [2] = LEAF, [3] = MESSAGE, [4] = ENUM, [6] = EXTENSION, [8] = LEAF },
	[ENUM] = { [2] = LEAF },
	[SERVICE] = { [2] = LEAF },
	[LEAF] = { 0 },
	[EXTENSION] = { 0 },
};

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

struct field {
	uint32_t number;
	uint64_t value;       /* VARINT */
	struct bytes content; /* LENGTH_PREFIXED; else data NULL */
};

static struct reader reader_of(struct bytes bytes)
{
	return (struct reader){ bytes.data, bytes.data + bytes.len, false };
}

static bool read_varint(struct reader *reader, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
		uint8_t byte = *reader->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return true;
		}
	}
	reader->bad = true;
	return false;
}

/* False at the end, and where what follows is no field (`bad` then). */
static bool next_field(struct reader *reader, struct field *ret)
{
	uint64_t tag, len = 0;

	*ret = (struct field){ 0 };
	if (reader->bad || reader->at == reader->end || !read_varint(reader, &tag)) {
		return false;
	}
	ret->number = (uint32_t)(tag >> 3);
	switch (tag & 7) {
	case VARINT:
		return read_varint(reader, &ret->value);
	case LENGTH_PREFIXED:
		if (!read_varint(reader, &len)) {
			return false;
		}
		ret->content.data = reader->at;
		ret->content.len = (size_t)len;
		break;
	case FIXED64:
		len = 8;
		break;
	case FIXED32:
		len = 4;
		break;
	default:
		reader->bad = true;
		return false;
	}
	if (len > (uint64_t)(reader->end - reader->at)) {
		reader->bad = true;
		return false;
	}
	reader->at += len;
	return true;
}

static struct str text_of(struct field field)
{
	return (struct str){ (const char *)field.content.data, field.content.len };
}

static struct str name_of(struct bytes declaration)
{
	struct reader reader = reader_of(declaration);
	struct field field;

	while (next_field(&reader, &field)) {
		if (field.number == ANY_NAME && field.content.data) {
			return text_of(field);
		}
	}
	return (struct str){ 0 };
}

static enum kind member_kind(enum kind scope, const struct field *field)
{
	return field->number <= MAX_MEMBER && field->content.data
		       ? (enum kind)members[scope][field->number]
		       : NOTHING;
}

/* -- Looking up -- */

static bool is_scope(enum kind kind)
{
	return kind == MESSAGE || kind == SERVICE;
}

/* "a.b" out of `path`: false where it does not begin with it; *ret_rest is empty where it is it. */
static bool enter(struct str path, struct str name, struct str *ret_rest)
{
	if (name.len == 0 || !str_has_prefix(path, name)) {
		return false;
	}
	if (path.len > name.len && path.data[name.len] != '.') {
		return false;
	}
	*ret_rest = (struct str){ path.data + name.len, path.len - name.len };
	if (ret_rest->len > 0) {
		ret_rest->data++;
		ret_rest->len--;
		return ret_rest->len > 0; /* nothing ends in a dot */
	}
	return true;
}

/* What `path` is within `content`, which is a declaration of kind `scope`. */
static enum kind find_in(enum kind scope, struct bytes content, struct str path)
{
	struct reader reader = reader_of(content);
	enum kind found = NOTHING;
	struct field field;

	while (found == NOTHING && next_field(&reader, &field)) {
		enum kind kind = member_kind(scope, &field);
		struct str rest;

		if (kind == NOTHING) {
			continue;
		}
		if (enter(path, name_of(field.content), &rest)) {
			if (rest.len == 0) {
				return kind;
			}
			if (is_scope(kind)) {
				found = find_in(kind, field.content, rest);
			}
		}
		if (found == NOTHING && kind == ENUM) { /* its values stand beside it */
			found = find_in(ENUM, field.content, path);
		}
	}
	return found;
}

static enum kind find_in_file(const struct descriptors_file *file, struct str name)
{
	struct str rest = name;

	if (file->package.len > 0 && (!enter(name, file->package, &rest) || rest.len == 0)) {
		return NOTHING;
	}
	return find_in(FILE_SCOPE, file->content, rest);
}

static uint64_t bit(size_t file)
{
	return UINT64_C(1) << file;
}

static int find(const struct descriptors *descriptors, uint64_t among, struct str name,
		enum kind *ret_kind)
{
	for (size_t i = 0; i < descriptors->n_files; i++) {
		if (among & bit(i)) {
			*ret_kind = find_in_file(&descriptors->files[i], name);
			if (*ret_kind != NOTHING) {
				return (int)i;
			}
		}
	}
	return -1;
}

int descriptors_find_symbol(const struct descriptors *descriptors, struct str name)
{
	enum kind kind;

	return find(descriptors, descriptors->visible, name, &kind);
}

static int file_named(const struct descriptors *descriptors, uint64_t among, struct str name)
{
	for (size_t i = 0; i < descriptors->n_files; i++) {
		if ((among & bit(i)) && str_equal(descriptors->files[i].name, name)) {
			return (int)i;
		}
	}
	return -1;
}

int descriptors_find_file(const struct descriptors *descriptors, struct str name)
{
	return file_named(descriptors, descriptors->visible, name);
}

int descriptors_find_extension(const struct descriptors *descriptors, struct str extendee,
			       int32_t number)
{
	for (size_t i = 0; i < descriptors->n_extensions; i++) {
		const struct descriptors_extension *extension = &descriptors->extensions[i];

		if (extension->number == number && (descriptors->visible & bit(extension->file)) &&
		    str_equal(extension->extendee, extendee)) {
			return (int)extension->file;
		}
	}
	return -1;
}

static int compare_numbers(const void *a, const void *b)
{
	int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;

	return (left > right) - (left < right);
}

int descriptors_extension_numbers(const struct descriptors *descriptors, struct str message,
				  int32_t ret[DESCRIPTORS_MAX_EXTENSIONS])
{
	enum kind kind;
	int n = 0;

	if (find(descriptors, descriptors->visible, message, &kind) < 0 || kind != MESSAGE) {
		return -1;
	}
	for (size_t i = 0; i < descriptors->n_extensions; i++) {
		const struct descriptors_extension *extension = &descriptors->extensions[i];

		if ((descriptors->visible & bit(extension->file)) &&
		    str_equal(extension->extendee, message)) {
			ret[n++] = extension->number;
		}
	}
	qsort(ret, (size_t)n, sizeof(ret[0]), compare_numbers);
	return n;
}

size_t descriptors_closure(const struct descriptors *descriptors, size_t file, uint64_t *sent,
			   size_t ret[DESCRIPTORS_MAX_FILES])
{
	size_t queue[DESCRIPTORS_MAX_FILES] = { file }, queued = 1, n = 0;
	uint64_t seen = bit(file);

	for (size_t at = 0; at < queued; at++) {
		size_t now = queue[at];

		if (at == 0 || !(*sent & bit(now))) {
			*sent |= bit(now);
			ret[n++] = now;
		}
		for (size_t i = 0; i < descriptors->n_files; i++) {
			if (descriptors->files[now].imports & bit(i) & ~seen) {
				seen |= bit(i);
				queue[queued++] = i;
			}
		}
	}
	return n;
}

/* -- Reading the set -- */

static bool add_extension(struct descriptors *descriptors, size_t file, struct bytes content)
{
	struct reader reader = reader_of(content);
	struct descriptors_extension extension = { .file = file };
	struct field field;

	while (next_field(&reader, &field)) {
		if (field.number == FIELD_EXTENDEE && field.content.len > 1) {
			extension.extendee = text_of(field);
			extension.extendee.data++; /* protoc writes full names behind a dot */
			extension.extendee.len--;
		} else if (field.number == FIELD_NUMBER) {
			extension.number = (int32_t)field.value;
		}
	}
	if (extension.extendee.len == 0 ||
	    descriptors->n_extensions == DESCRIPTORS_MAX_EXTENSIONS) {
		return false;
	}
	descriptors->extensions[descriptors->n_extensions++] = extension;
	return true;
}

/* Every name that can be asked for is there; takes note of extensions. */
static bool check(struct descriptors *descriptors, size_t file, enum kind scope,
		  struct bytes content)
{
	struct reader reader = reader_of(content);
	struct field field;

	while (next_field(&reader, &field)) {
		enum kind kind = member_kind(scope, &field);

		if (kind == NOTHING) {
			continue;
		}
		if (name_of(field.content).len == 0 ||
		    !check(descriptors, file, kind, field.content) ||
		    (kind == EXTENSION && !add_extension(descriptors, file, field.content))) {
			return false;
		}
	}
	return !reader.bad;
}

static bool resolve_imports(struct descriptors *descriptors, size_t file)
{
	struct reader reader = reader_of(descriptors->files[file].content);
	struct field field;

	while (next_field(&reader, &field)) {
		if (field.number == FILE_DEPENDENCY) {
			int import = file_named(descriptors, UINT64_MAX, text_of(field));

			if (import < 0) {
				return false;
			}
			descriptors->files[file].imports |= bit((size_t)import);
		}
	}
	return true;
}

static void read_file(struct descriptors_file *ret, struct bytes content)
{
	struct reader reader = reader_of(content);
	struct field field;

	ret->content = content;
	ret->name = name_of(content);
	while (next_field(&reader, &field)) {
		if (field.number == FILE_PACKAGE) {
			ret->package = text_of(field);
		}
	}
}

bool descriptors_init(struct descriptors *ret, struct bytes set)
{
	struct reader reader = reader_of(set);
	struct field field;

	*ret = (struct descriptors){ 0 };
	while (next_field(&reader, &field)) {
		if (field.number != SET_FILE || !field.content.data ||
		    ret->n_files == DESCRIPTORS_MAX_FILES) {
			return false;
		}
		read_file(&ret->files[ret->n_files++], field.content);
	}
	for (size_t i = 0; i < ret->n_files; i++) {
		if (ret->files[i].name.len == 0 ||
		    !check(ret, i, FILE_SCOPE, ret->files[i].content) || !resolve_imports(ret, i)) {
			return false;
		}
	}
	return !reader.bad;
}

bool descriptors_show(struct descriptors *descriptors, struct str service)
{
	size_t files[DESCRIPTORS_MAX_FILES];
	enum kind kind;
	int file = find(descriptors, UINT64_MAX, service, &kind);

	if (file < 0 || kind != SERVICE) {
		return false;
	}
	(void)descriptors_closure(descriptors, (size_t)file, &descriptors->visible, files);
	return true;
}
