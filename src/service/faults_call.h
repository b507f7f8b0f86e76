/*
 * What a plan does to one call of a unary method, and what a caller may ask for itself:
 *
 *	echod-delay: 50ms		a delay, as --echo.delay takes it
 *	echod-fault: UNAVAILABLE	or reset, close, hang, truncate; or none
 *
 * A reply that was delayed, or broken on purpose, and that ends in trailers says so in
 * them: echod-delay-ns has the delay that was drawn, echod-fault the plan's own word.
 */
#pragma once

#include "grpc/call.h"
#include "service/faults.h"

#define FAULTS_METADATA_DELAY   "echod-delay"
#define FAULTS_METADATA_FAULT   "echod-fault"
#define FAULTS_TRAILER_DELAY_NS "echod-delay-ns"
#define FAULTS_TRAILER_FAULT    "echod-fault"

/*
 * What a caller asks for in its metadata: 1, and `*ret` is that and nothing else; 0: it
 * asks for nothing; or -1 with a reason.
 */
int faults_asked(struct faults *faults, const struct metadata *metadata, struct faults_draw *ret,
		 char *why, size_t size);

/* The call's delay begins: counts it, and says so in the trailers. */
void faults_delay(const struct faults *faults, struct grpc_call *call,
		  const struct faults_draw *draw);
/*
 * Does to the call what was drawn for it, and counts that. `response` is what a call
 * would be given that is well; of a truncated one half of it leaves. One that hangs is
 * not ended: see faults_hung().
 */
void faults_inject(const struct faults *faults, struct grpc_call *call,
		   const struct faults_draw *draw, const void *response);
/* A call has hung for as long as the plan lets it. */
void faults_hung(struct grpc_call *call);
