#include "version.h"

#include "vcs_branch.h"
#include "vcs_revision.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

const char echod_version[] = ECHOD_VERSION;
const char echod_revision[] = VCS_REVISION;
const char echod_branch[] = VCS_BRANCH;
#if defined(__clang__)
const char echod_compiler[] =
	"clang " TEXT(__clang_major__) "." TEXT(__clang_minor__) "." TEXT(__clang_patchlevel__);
#elif defined(__GNUC__)
const char echod_compiler[] =
	"gcc " TEXT(__GNUC__) "." TEXT(__GNUC_MINOR__) "." TEXT(__GNUC_PATCHLEVEL__);
#else
const char echod_compiler[] = "unknown";
#endif
