// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mcload: open-loop load for memcached.
 *
 * Every request has an intended start that comes from a seeded schedule and
 * from nothing else.  Latency counts from there, so a stalled server is
 * charged with every request that fell due meanwhile, not only with the one
 * that happened to be on its way.
 *
 * The generator must not be the one that runs out of memory: before the
 * schedule starts everything is allocated, locked and faulted in, and from
 * then on it asks the kernel for socket buffers only.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/num.h"
#include "common/opts.h"
#include "common/proc.h"
#include "common/time.h"
#include "mcload_load.h"
#include "mcload_prefill.h"

struct options {
	struct load_opts load;
	uint64_t prefill_bytes;
	uint64_t wait_ns;
	int out_fd;
	bool protect;
};

static const char usage_text[] =
"Usage: mcload [OPTION]...\n"
"Open-loop load generator for memcached.\n"
"\n"
"Load:\n"
"  --server=ADDR        HOST:PORT (numeric) or unix:PATH   [127.0.0.1:11211]\n"
"  --protocol=P         text or meta                       [text]\n"
"  --rate=N             requests per second, 0.001..1000000 [500]\n"
"  --schedule=S         poisson or fixed gaps              [poisson]\n"
"  --warmup=TIME        unmeasured part before             [1s]\n"
"  --duration=TIME      measured part; 0s: only --prefill  [10s]\n"
"  --drain=TIME         wait for answers at the end        [5s]\n"
"  --conns=N            connections, 1..64                 [8]\n"
"  --seed=N             of schedule, keys and sizes        [1]\n"
"Items:\n"
"  --keys=N             size of the key space              [20000]\n"
"  --zipf=THETA         skew of popularity, 0..5           [0.99]\n"
"  --value-size=S       etc (Atikoglu et al. 2012) or 1..16384 bytes [etc]\n"
"  --value-max=BYTES    bound of etc sizes, up to 16384    [8192]\n"
"  --get-ratio=R        share of gets, 0..1; a miss is followed by a set [0.9]\n"
"  --prefill=BYTES      first store all keys, then ballast up to BYTES [0]\n"
"Conduct:\n"
"  --max-lag=TIME       refuse the run if the generator itself starts a\n"
"                       request later than this            [20ms]\n"
"  --wait=TIME          for the server to answer at first  [10s]\n"
"  --out-fd=N           write record lines to descriptor N (docs/record.md)\n"
"  --phase=NAME         mark the measured part with phase lines\n"
"  --unprotected        no locked memory, no real-time priority, no exemption\n"
"                       from the OOM killer: to try things out, not to measure\n"
"  --help\n"
"\n"
"TIME is a number with ns, us, ms or s; BYTES takes K, M or G.\n"
"\n"
"Examples:\n"
"  mcload --unprotected --duration=5s --rate=1000\n"
"  mcload --server=unix:/run/mc.sock --prefill=150M --duration=0s\n"
"  mcload --schedule=fixed --value-size=100 --get-ratio=1 --seed=7 --out-fd=3 3>out\n"
"\n"
"Exit status: 0 done, 1 failed or the run is not valid, 2 wrong usage,\n"
"69 the server never answered or the process could not be protected.\n";

static void set_server(const char *name, const char *value, void *to)
{
	opts__check(net__parse(value, to), name, value,
		    "must be a numeric HOST:PORT or unix:PATH");
}

static void set_protocol(const char *name, const char *value, void *to)
{
	const struct proto **proto = to;

	*proto = proto__find(value);
	opts__check(!*proto, name, value, "must be text or meta");
}

static void set_schedule(const char *name, const char *value, void *to)
{
	*(bool *)to = opts__choose(name, value, "poisson", "fixed");
}

static void set_value_size(const char *name, const char *value, void *to)
{
	uint64_t v = 0;

	opts__check(strcmp(value, "etc") && num__u64(value, 1, KEYS_VALUE_MAX, &v),
		    name, value, "must be etc or 1 to 16384 bytes");
	*(uint32_t *)to = (uint32_t)v;
}

static void parse_options(struct options *o, int argc, char **argv)
{
	struct load_opts *l = &o->load;
	const struct opt table[] = {
		OPT(CALL, "server", &l->addr, .call = set_server),
		OPT(CALL, "protocol", &l->proto, .call = set_protocol),
		OPT(DOUBLE, "rate", &l->plan.rate, .dmin = 0.001, .dmax = 1e6),
		OPT(CALL, "schedule", &l->plan.poisson, .call = set_schedule),
		OPT(TIME, "warmup", &l->warmup_ns),
		OPT(TIME, "duration", &l->duration_ns),
		OPT(TIME, "drain", &l->drain_ns),
		OPT(U32, "conns", &l->nr_conns, .min = 1, .max = LOAD_NR_CONNS_MAX),
		OPT(U64, "seed", &l->plan.seed, .min = 0, .max = UINT64_MAX),
		OPT(U32, "keys", &l->keys.nr, .min = 1, .max = UINT32_MAX),
		OPT(DOUBLE, "zipf", &l->plan.zipf_theta, .dmin = 0, .dmax = 5),
		OPT(CALL, "value-size", &l->keys.value_len, .call = set_value_size),
		OPT(U32, "value-max", &l->keys.value_max, .min = 1, .max = KEYS_VALUE_MAX),
		OPT(DOUBLE, "get-ratio", &l->plan.get_ratio, .dmin = 0, .dmax = 1),
		OPT(SIZE, "prefill", &o->prefill_bytes),
		OPT(TIME, "max-lag", &l->lag_limit_ns),
		OPT(TIME, "wait", &o->wait_ns),
		OPT(FD, "out-fd", &o->out_fd),
		OPT(STRING, "phase", &l->phase, .max = 64),
		OPT(CLEAR, "unprotected", &o->protect),
		{ 0 },
	};

	net__parse("127.0.0.1:11211", &l->addr);
	l->proto = proto__find("text");
	l->plan = (struct plan_opts){
		.seed = 1, .rate = 500, .poisson = true, .get_ratio = 0.9,
		.zipf_theta = 0.99,
	};
	l->keys = (struct keys){ .nr = 20000, .value_max = 8192 };
	l->nr_conns = 8;
	l->warmup_ns = NSEC_PER_SEC;
	l->duration_ns = 10 * NSEC_PER_SEC;
	l->drain_ns = 5 * NSEC_PER_SEC;
	l->lag_limit_ns = 20 * NSEC_PER_MSEC;
	o->wait_ns = 10 * NSEC_PER_SEC;
	o->out_fd = -1;
	o->protect = true;

	opts__table_only(argc, argv, usage_text, table);
	l->keys.seed = l->plan.seed;
	l->plan.nr_keys = l->keys.nr;
}

/* Real-time priority, so that only the kernel can delay the generator. */
static bool get_realtime(void)
{
	const struct sched_param param = { .sched_priority = 1 };

	if (!sched_setscheduler(0, SCHED_FIFO, &param))
		return true;
	fprintf(stderr, "mcload: no real-time priority (%s): a late wake-up counts against the generator\n",
		strerror(errno));
	return false;
}

static void print_quantiles(const char *name, const struct tally_hist *h)
{
	static const struct {
		const char *name;
		double q;
	} wanted[] = {
		{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 },
		{ "p99.99", 0.9999 }, { "max", 1 },
	};
	uint64_t ns;
	size_t i;

	printf("mcload: %s us:", name);
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		ns = hist__quantile(&h->hist, wanted[i].q);
		if (ns < TALLY_LOST_NS)
			printf("  %s %.1f", wanted[i].name, (double)ns / 1e3);
		else
			printf("  %s lost", wanted[i].name);
	}
	printf("; %llu of %llu lost\n", (unsigned long long)h->nr_lost,
	       (unsigned long long)h->hist.n);
}

/* Of this process so far.  Each may ask for memory. */
static uint64_t page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

static void print_summary(const struct load *l, uint64_t nr_faults)
{
	const struct tally *t = &l->tally;
	uint64_t nr_connects = 0;
	uint32_t i;
	int e;

	for (i = 0; i < l->opts.nr_conns; i++)
		nr_connects += l->conns[i].nr_connects;
	printf("mcload: %llu requests: %llu hits, %llu misses (%llu filled), %llu sets; %llu connections made\n",
	       (unsigned long long)t->nr_requests, (unsigned long long)t->nr_hits,
	       (unsigned long long)t->nr_misses, (unsigned long long)t->nr_fills,
	       (unsigned long long)t->nr_sets, (unsigned long long)nr_connects);
	printf("mcload: errors:");
	for (e = 0; e < NR_ERRORS; e++)
		printf(" %llu %s%s", (unsigned long long)t->nr_errors[e],
		       tally_error_names[e], e + 1 < NR_ERRORS ? "," : "\n");
	print_quantiles("latency from intended start,", &t->latency);
	print_quantiles("from the send,", &t->service);
	print_quantiles("from the head of its connection,", &t->head);
	printf("mcload: %llu page faults under load\n", (unsigned long long)nr_faults);
	printf("mcload: largest lag %.1f us; %llu times above %.1f ms: %llu held up by the guest, %llu the generator's own\n",
	       (double)l->lag.total_max_ns / 1e3,
	       (unsigned long long)(l->lag.nr_guest + l->lag.nr_own),
	       (double)l->lag.limit_ns / 1e6,
	       (unsigned long long)l->lag.nr_guest,
	       (unsigned long long)l->lag.nr_own);
}

/* Whether the numbers mean what they say.  Says why not. */
static bool is_valid(const struct load *l, const struct out *out)
{
	uint64_t nr_bad = 0;
	bool valid = true;
	uint32_t i;

	for (i = 0; i < l->opts.nr_conns; i++)
		nr_bad += l->conns[i].nr_bad_replies;
	if (nr_bad) {
		fprintf(stderr, "mcload: refused: %llu replies were not the %s protocol\n",
			(unsigned long long)nr_bad, l->opts.proto->name);
		valid = false;
	}
	if (l->tally.nr_corrupt) {
		fprintf(stderr, "mcload: refused: %llu values were not the ones stored: other --seed or --value-* than at --prefill, or DATA LOST\n",
			(unsigned long long)l->tally.nr_corrupt);
		valid = false;
	}
	if (l->lag.nr_own) {
		fprintf(stderr, "mcload: refused: the generator fell behind its own schedule %llu times (largest lag %.1f ms, limit %.1f ms): lower --rate, or raise --max-lag\n",
			(unsigned long long)l->lag.nr_own,
			(double)l->lag.total_max_ns / 1e6,
			(double)l->lag.limit_ns / 1e6);
		valid = false;
	}
	if (out->nr_lost) {
		fprintf(stderr, "mcload: refused: %llu record lines lost: who reads descriptor %d is too slow\n",
			(unsigned long long)out->nr_lost, out->fd);
		valid = false;
	}
	return valid;
}

static int run_prefill(const struct options *o)
{
	struct prefill_opts opts = {
		.addr = o->load.addr,
		.proto = o->load.proto,
		.keys = o->load.keys,
		.bytes = o->prefill_bytes,
		.wait_ns = o->wait_ns,
	};
	struct prefill_result r;
	int err;

	err = prefill__run(&opts, &r);
	if (err)
		return err == -ENOSPC ? EXIT_FAILED : EXIT_INFRASTRUCTURE;
	printf("mcload: prefilled %llu of %u keys and %llu ballast items; the server holds %llu items of %.1f MiB\n",
	       (unsigned long long)r.nr_items, o->load.keys.nr,
	       (unsigned long long)r.nr_ballast,
	       (unsigned long long)r.curr_items, (double)r.bytes / (1 << 20));
	return EXIT_DONE;
}

static int run_load(const struct options *o)
{
	static struct load load;
	static struct out out;
	uint64_t nr_faults = 0;
	int fd, err, write_err;

	fd = net__connect_wait(&o->load.addr, o->wait_ns);
	if (fd < 0) {
		fprintf(stderr, "mcload: no memcached answers: %s; is it running, is --server right?\n",
			strerror(-fd));
		return EXIT_INFRASTRUCTURE;
	}
	close(fd);

	err = out__start(&out, o->out_fd);
	if (!err) {
		err = load__init(&load, &o->load, &out);
		if (!err) {
			/* After the writer thread: it must not inherit this. */
			if (o->protect)
				load.opts.realtime = get_realtime();
			nr_faults = page_faults();
			err = load__run(&load);
			nr_faults = page_faults() - nr_faults;
		}
		write_err = out__stop(&out);
		if (!err && !write_err && o->out_fd >= 0)
			write_err = tally__write_hists(&load.tally, o->out_fd);
		if (write_err) {
			fprintf(stderr, "mcload: cannot write record lines to descriptor %d: %s\n",
				o->out_fd, strerror(-write_err));
			return EXIT_FAILED;
		}
	}
	if (err) {
		fprintf(stderr, "mcload: cannot run the load: %s\n", strerror(-err));
		return EXIT_FAILED;
	}
	print_summary(&load, nr_faults);
	return is_valid(&load, &out) ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	static char stdout_buf[4096];
	static struct options o;
	int status = EXIT_DONE;

	/* stdio would allocate its buffer at the first line, which is the last. */
	setvbuf(stdout, stdout_buf, _IOFBF, sizeof(stdout_buf));
	parse_options(&o, argc, argv);
	/* Without real-time priority timers may be 50 us late to save power. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (o.protect && proc__protect("mcload"))
		return EXIT_INFRASTRUCTURE;
	if (o.prefill_bytes)
		status = run_prefill(&o);
	if (status == EXIT_DONE && o.load.duration_ns)
		status = run_load(&o);
	if (fflush(stdout) && status == EXIT_DONE)
		status = EXIT_FAILED;
	return status;
}
