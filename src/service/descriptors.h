/* The interfaces that are served, as protoc compiled them: a google.protobuf.FileDescriptorSet. */
#pragma once

#include "base/util.h"

extern const struct bytes descriptor_set;
