/* The parts that the texts of delays and of faults are made of. For the files of faults.h only. */
#pragma once

#include "service/faults.h"

/* One percent of FAULTS_WHOLE. */
#define FAULTS_PERCENT (FAULTS_WHOLE / 100)
/* Longer than any item that means something. */
#define FAULTS_ITEM_SIZE 64
/* "99.9999999" */
#define FAULTS_SHARE_SIZE 16

/*
 * The next item of a list with commas: 1, and `*rest` is past it; 0: there was none left
 * (`*rest` is NULL); or -1 with a reason.
 */
int faults_next_item(const char **rest, char ret_item[FAULTS_ITEM_SIZE], char *why, size_t size);
/* 'has "x", which is ...' for the part of a value that is wrong. Always -1. */
int faults_refuse(const char *part, const char *reason, char *why, size_t size);

/* "2", "0.5": a percentage as a share of FAULTS_WHOLE, exactly. 0, or -1 with a reason. */
int faults_share_parse(const char *text, uint32_t *ret_share, char *why, size_t size);
void faults_share_print(uint32_t share, char text[FAULTS_SHARE_SIZE]);
