/* What the registry has written once and for all, as the protobuf format has it. */
#pragma once

#include "metrics/registry.h"

/* The most that the labels take. */
size_t protobuf_labels_room(const struct family_view *family, const char *const *values);
/* A sample's LabelPair messages, as fields of its Metric. Returns where they end. */
uint8_t *protobuf_put_labels(uint8_t *at, const struct family_view *family,
			     const char *const *values);
