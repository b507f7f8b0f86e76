/*
 * Runs a target over files, without libFuzzer: replay FILE-OR-FOLDER... The
 * name of each file stands on stderr before its turn, so that the last one there
 * is the one that failed.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned n_replayed;

/* In memory of exactly its size, so that a sanitizer sees every step beyond it. */
static bool replay_file(const char *path)
{
	struct stat status;
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	size_t size;

	if (!file || fstat(fileno(file), &status) < 0) {
		perror(path);
		if (file) {
			fclose(file);
		}
		return false;
	}
	size = (size_t)status.st_size;
	data = malloc(size > 0 ? size : 1);
	if (!data || fread(data, 1, size, file) != size) {
		perror(path);
		abort();
	}
	fclose(file);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	n_replayed++;
	return true;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static bool replay(const char *path)
{
	struct dirent **entries;
	bool good = true;
	int n = scandir(path, &entries, not_hidden, alphasort);

	if (n < 0) {
		return replay_file(path);
	}
	for (int i = 0; i < n; i++) {
		char *inner;

		if (asprintf(&inner, "%s/%s", path, entries[i]->d_name) < 0) {
			abort();
		}
		good = replay(inner) && good;
		free(inner);
		free(entries[i]);
	}
	free(entries);
	return good;
}

int main(int argc, char **argv)
{
	bool good = true;

	for (int i = 1; i < argc; i++) {
		good = replay(argv[i]) && good;
	}
	printf("%u inputs\n", n_replayed);
	return good && n_replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
