#!/usr/bin/env python3
"""A file as a C array: embed.py INPUT OUTPUT.c"""
import sys

data = open(sys.argv[1], "rb").read()
lines = [", ".join(str(byte) for byte in data[at : at + 16]) + ",\n" for at in range(0, len(data), 16)]
with open(sys.argv[2], "w", encoding="ascii") as out:
    out.write('#include "service/descriptors.h"\n\n')
    out.write(f"static const uint8_t data[] = {{\n{''.join(lines)}}};\n\n")
    out.write("const struct bytes descriptor_set = { data, sizeof(data) };\n")
