/*
 * Interfaces as protoc compiled them: a google.protobuf.FileDescriptorSet, and
 * questions to it. The set is borrowed; names are looked up by a walk over its
 * bytes, which are few, so there is nothing to build, own or keep in step.
 *
 * A set may hold more than is served: only what descriptors_show() made visible
 * is found.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

/* What is built in: everything that echod can serve. */
extern const struct bytes descriptor_set;

#define DESCRIPTORS_MAX_FILES      64 /* a bit for each in a uint64_t */
#define DESCRIPTORS_MAX_EXTENSIONS 64

struct descriptors {
	size_t n_files;
	struct descriptors_file {
		struct bytes content; /* a google.protobuf.FileDescriptorProto */
		struct str name, package;
		uint64_t imports; /* directly */
	} files[DESCRIPTORS_MAX_FILES];
	uint64_t visible;
	size_t n_extensions;
	struct descriptors_extension {
		size_t file;
		struct str extendee; /* without the leading dot */
		int32_t number;
	} extensions[DESCRIPTORS_MAX_EXTENSIONS];
};

/* False: malformed, an import that is not in it, or more than the bounds above. */
bool descriptors_init(struct descriptors *ret, struct bytes set);
/* The file that declares this service, and all that it imports. False: none does. */
bool descriptors_show(struct descriptors *descriptors, struct str service);

/* The index of a visible file, or -1. */
int descriptors_find_file(const struct descriptors *descriptors, struct str name);
/*
 * Of the file that declares a service, method, message, field, oneof, enum, enum
 * value or extension with this full name; or -1.
 */
int descriptors_find_symbol(const struct descriptors *descriptors, struct str name);
int descriptors_find_extension(const struct descriptors *descriptors, struct str extendee,
			       int32_t number);
/*
 * The numbers of all extensions of a message, ascending; how many, or -1: there
 * is no such message.
 */
int descriptors_extension_numbers(const struct descriptors *descriptors, struct str message,
				  int32_t ret[DESCRIPTORS_MAX_EXTENSIONS]);
/*
 * A file and all that it imports, itself first, each once. Those in `*sent` are
 * left out, except the file itself; what is returned is added to it.
 */
size_t descriptors_closure(const struct descriptors *descriptors, size_t file, uint64_t *sent,
			   size_t ret[DESCRIPTORS_MAX_FILES]);
