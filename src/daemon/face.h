/* What `echod serve` shows over HTTP: its pages, and where each of them is. */
#pragma once

#include "base/random.h"
#include "daemon/config.h"
#include "daemon/faults_page.h"
#include "daemon/landing.h"
#include "daemon/meters.h"
#include "daemon/pages.h"
#include "daemon/services.h"
#include "net/loop.h"
#include "net/worker.h"
#include "web/routes.h"
#include "web/scrape.h"

struct face_options {
	const struct config *config;
	struct loop *loop;
	struct meters *meters;
	struct services *services;
	struct random *random;
	const char *instance;
	void (*plan_changed)(void *user); /* another plan of faults is in use */
	void *user;
};

struct face {
	struct face_options options;
	struct worker *worker; /* NULL: scrapes are packed on the loop */
	struct scrape scrape;
	struct pages pages;
	struct faults_page faults_page;
	struct landing landing;
	struct route routes[6];
	struct web *web;
};

/*
 * `options` are copied, what they point to is borrowed. Hosts of web->asker are struct
 * guests. 0 or -ENOMEM (call face_deinit() then too). Before the first scrape.
 */
int face_init(struct face *face, const struct face_options *options);
void face_deinit(struct face *face);
