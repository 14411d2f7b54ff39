/*
 * A tiny vassal for tests and benchmarks: it speaks the emperor protocol and does what its config says, nothing else.
 * It takes uWSGI's command line, so any Emperor can start it in the place of `uwsgi`. It serves no HTTP and runs no code.
 * The keys of its config are in the table below; tests/support/vassal.py builds it, writes configs and reads reports.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_MAX 65535
#define CONFIG_WAIT_MS 5000 /* what uWSGI gives a config chunk before it leaves with 1 */

enum order { STOP = 0, RELOAD = 1, STOP_GRACEFULLY = 2 };
enum byte { READY = 1, SEND_CONFIG = 2, ACCEPTING = 5, LOYAL = 17, LEAVE = 22, HEARTBEAT = 26, REINFORCEMENT = 30 };

enum timer { T_READY, T_ACCEPTING, T_LOYAL, T_HEARTBEAT, T_REINFORCE, T_LEAVE, T_SEND, T_CLOSE, T_EXIT, T_STOPPED, TIMERS };

/* Everything a config can say. Times are milliseconds; -1 stands for never; yes/no are 1 and 0. */
static struct behaviour {
	long ready_after, accepting_after, loyal_after, heartbeat, heartbeats, reinforce_after, leave_after;
	long send, send_after, close_after, exit_after, exit_code, stop_after, stop_code;
	long reload_after, reload, request_config, ignore_stop, ignore_eof, ignore_signals, serve, leave_after_serve, workers;
	long brief, greet, lines, lines_every, lines_width;
	char report[PATH_MAX];
} b;

static const struct behaviour defaults = {
	.ready_after = 0, .accepting_after = 0, .loyal_after = -1, .heartbeat = -1, .heartbeats = -1,
	.reinforce_after = -1, .leave_after = -1, .send = 99, .send_after = -1, .close_after = -1, .exit_after = -1,
	.exit_code = 0, .stop_after = 0, .stop_code = 0, .reload_after = 0, .reload = 1, .request_config = 1,
};

static const struct key { const char *name; size_t offset; } keys[] = {
#define KEY(name) { #name, offsetof(struct behaviour, name) }
	KEY(ready_after),      /* byte 1, counted from the start and from each reload */
	KEY(accepting_after),  /* byte 5, counted from byte 1 */
	KEY(loyal_after),      /* byte 17, counted from byte 1; SIGUSR1 sends it at once */
	KEY(heartbeat),        /* byte 26, counted from byte 1, again and again */
	KEY(heartbeats),       /* stop after so many of them */
	KEY(reinforce_after),  /* byte 30, counted from byte 1 */
	KEY(leave_after),      /* byte 22, counted from byte 1; SIGUSR2 sends it at once */
	KEY(send),             /* which byte send_after sends */
	KEY(send_after),
	KEY(close_after),      /* close the emperor's pipe and live on */
	KEY(exit_after),       /* exit with exit_code, or by signal N where that is -N */
	KEY(exit_code),
	KEY(stop_after),       /* how long a stop takes */
	KEY(stop_code),        /* exit code of a stop */
	KEY(reload_after),     /* how long a reload takes */
	KEY(reload),           /* no: reloads are only reported */
	KEY(request_config),   /* no: byte 2 is not sent before the chunk is read in a reload */
	KEY(ignore_stop),      /* stops are only reported */
	KEY(ignore_eof),       /* live on when the emperor's end of the pipe closes */
	KEY(ignore_signals),   /* TERM, INT, QUIT and HUP do nothing */
	KEY(serve),            /* answer so many connections on descriptor 0, the first one makes loyal */
	KEY(leave_after_serve),/* byte 22 after the last of them */
	KEY(workers),          /* children that sleep for ever */
	KEY(greet),            /* say "NAME PID out" on stdout and "NAME PID err" on stderr, at the start and at each reload */
	KEY(lines),            /* a child prints so many lines "NAME NUMBER", each written at once; never is for ever */
	KEY(lines_every),      /* how long it pauses between them */
	KEY(lines_width),      /* how long they are at least, with their end; dots fill them */
	KEY(brief),            /* report neither the config nor all that the start is about: where time is measured */
#undef KEY
};

static long deadline[TIMERS];
static int emperor = -1, emperor_config = -1, stopping;
static char config[CONFIG_MAX + 1], line[12 * 65536];
static size_t line_length;
static const char *name = "";
static volatile sig_atomic_t got_usr1, got_usr2;

static long now_ms(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

/* --- the report: one JSON object a line, each written at once -------------------------------------------------- */

static void put(const char *format, ...) {
	va_list args;
	if (!b.report[0])
		return;
	va_start(args, format);
	int n = vsnprintf(line + line_length, sizeof line - line_length, format, args);
	va_end(args);
	if (n > 0)
		line_length += n;
	if (line_length >= sizeof line)
		line_length = sizeof line - 1;
}

static void put_string(const char *text, size_t length) {
	put("\"");
	for (size_t i = 0; i < length; i++) {
		unsigned char c = text[i];
		if (c == '"' || c == '\\')
			put("\\%c", c);
		else if (c < 32 || c > 126)
			put("\\u%04x", c); /* bytes as latin-1: the reader gets them back exactly */
		else
			put("%c", c);
	}
	put("\"");
}

static void begin(const char *event) {
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	line_length = 0;
	put("{\"event\":\"%s\",\"at\":%ld.%09ld,\"pid\":%d", event, (long)t.tv_sec, t.tv_nsec, getpid());
}

static void end(void) {
	if (!b.report[0])
		return;
	put("}\n");
	int fd = open(b.report, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	if (write(fd, line, line_length) < 0) /* a full disk: nothing to be done here */
		line_length = 0;
	close(fd);
}

static void report(const char *event, const char *field, long value) {
	begin(event);
	put(",\"name\":");
	put_string(name, strlen(name));
	if (field)
		put(",\"%s\":%ld", field, value);
	end();
}

static void put_strings(const char *key, char **strings) {
	put(",\"%s\":[", key);
	for (int i = 0; strings[i]; i++) {
		put(i ? "," : "");
		put_string(strings[i], strlen(strings[i]));
	}
	put("]");
}

static void put_link(const char *key, const char *path) {
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof target);
	put("\"%s\":", key);
	put_string(target, n < 0 ? 0 : n);
}

static void put_links(const char *key, const char *folder) {
	DIR *dir = opendir(folder);
	int some = 0;
	put(",\"%s\":{", key);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char path[PATH_MAX];
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		put(some++ ? "," : "");
		put_link(entry->d_name, path);
	}
	put("}");
	if (dir)
		closedir(dir);
}

/* Names of namespaces start with a letter, so the folder's own descriptor can't be mistaken for one. */
static void put_namespaces(void) {
	static const char *const all[] = { "ipc", "mnt", "net", "pid", "user", "uts" };
	put(",\"namespaces\":{");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/self/ns/%s", all[i]);
		put(i ? "," : "");
		put_link(all[i], path);
	}
	put("}");
}

/*
 * The lines of /proc/self/status that tell signals and capabilities, as they stand there; but for the two signals that
 * glibc keeps to itself: its posix_spawn (make's, too) leaves them ignored, whoever is spawned.
 */
#define GLIBC_SIGNALS 0x180000000ULL

static void put_status(void) {
	static const char *const wanted[] = { "SigBlk:", "SigIgn:", "SigCgt:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:" };
	char text[128];
	FILE *file = fopen("/proc/self/status", "re");
	put(",\"status\":{");
	int some = 0;
	while (file && fgets(text, sizeof text, file)) {
		for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
			size_t n = strlen(wanted[i]);
			if (strncmp(text, wanted[i], n))
				continue;
			unsigned long long value = strtoull(text + n, NULL, 16);
			if (!strcmp(wanted[i], "SigIgn:"))
				value &= ~GLIBC_SIGNALS;
			put("%s\"%.*s\":\"%016llx\"", some++ ? "," : "", (int)n - 1, wanted[i], value);
		}
	}
	put("}");
	if (file)
		fclose(file);
}

static void report_start(char **argv, char **environment) {
	if (!b.report[0] || b.brief)
		return;
	gid_t groups[256];
	char cwd[PATH_MAX] = "";
	struct rlimit files;
	int pdeathsig = 0, count = getgroups(256, groups);
	mode_t mask = umask(0);
	umask(mask);
	prctl(PR_GET_PDEATHSIG, &pdeathsig);
	getrlimit(RLIMIT_NOFILE, &files);
	begin("start");
	put(",\"name\":");
	put_string(name, strlen(name));
	put(",\"ppid\":%d,\"sid\":%d,\"pgid\":%d,\"pdeathsig\":%d,\"umask\":%d", getppid(), getsid(0), getpgid(0), pdeathsig, (int)mask);
	put(",\"uid\":%d,\"euid\":%d,\"gid\":%d,\"egid\":%d,\"groups\":[", (int)getuid(), (int)geteuid(), (int)getgid(), (int)getegid());
	for (int i = 0; i < count; i++)
		put("%s%d", i ? "," : "", (int)groups[i]);
	put("],\"nofile\":[%lld,%lld],\"cwd\":", (long long)files.rlim_cur, (long long)files.rlim_max);
	if (!getcwd(cwd, sizeof cwd))
		*cwd = 0;
	put_string(cwd, strlen(cwd));
	put_strings("argv", argv);
	put_strings("env", environment);
	put_links("fds", "/proc/self/fd");
	put_namespaces();
	put_status();
	end();
}

/* --- the config ------------------------------------------------------------------------------------------------ */

static void give_up(const char *why) {
	begin("give up");
	put(",\"why\":");
	put_string(why, strlen(why));
	end();
	fprintf(stderr, "vassal %s: %s\n", name, why);
	exit(1);
}

static void set_key(char *key, char *value) {
	if (!strcmp(key, "report")) {
		snprintf(b.report, sizeof b.report, "%s", value);
		return;
	}
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (strcmp(key, keys[i].name))
			continue;
		long number = !strcmp(value, "yes") || !strcmp(value, "true") ? 1 : !strcmp(value, "no") || !strcmp(value, "false") ? 0
			: !strcmp(value, "never") ? -1 : strtol(value, NULL, 10);
		*(long *)((char *)&b + keys[i].offset) = number;
	}
}

/* `key = value` lines before any section, in the one that is asked for, or in [uwsgi]. The rest is not ours. */
static void parse_config(const char *section) {
	int ours = 1;
	b = defaults;
	for (char *rest = NULL, *text = strtok_r(config, "\r\n", &rest); text; text = strtok_r(NULL, "\r\n", &rest)) {
		text += strspn(text, " \t");
		if (*text == '[') {
			char *close = strchr(text, ']');
			if (close)
				*close = 0;
			ours = !strcmp(text + 1, section);
			continue;
		}
		char *equals = strchr(text, '=');
		if (!ours || !equals || *text == '#' || *text == ';')
			continue;
		char *key_end = equals, *value = equals + 1 + strspn(equals + 1, " \t");
		while (key_end > text && (key_end[-1] == ' ' || key_end[-1] == '\t'))
			key_end--;
		*key_end = 0;
		for (size_t n = strlen(value); n && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--)
			value[n - 1] = 0;
		set_key(text, value);
	}
}

static size_t read_all(int fd, size_t wanted, int wait_ms) {
	size_t size = 0;
	while (size < wanted) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, wait_ms) <= 0)
			break;
		ssize_t n = read(fd, config + size, wanted - size);
		if (n <= 0)
			break;
		size += n;
	}
	config[size] = 0;
	return size;
}

static size_t read_chunk(void) {
	if (read_all(emperor_config, 4, CONFIG_WAIT_MS) != 4)
		give_up("no config header within 5 s");
	if (config[0] != 115 || config[3] != 0)
		give_up("no config chunk");
	size_t wanted = (unsigned char)config[1] | (unsigned char)config[2] << 8;
	if (!wanted || read_all(emperor_config, wanted, CONFIG_WAIT_MS) != wanted)
		give_up("no whole config within 5 s");
	return wanted;
}

static size_t read_output_of(const char *program) {
	int ends[2], status;
	if (pipe2(ends, O_CLOEXEC))
		give_up("pipe");
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], 1);
		execl(program, program, NULL);
		_exit(127);
	}
	close(ends[1]);
	size_t size = read_all(ends[0], CONFIG_MAX, -1);
	close(ends[0]);
	waitpid(child, &status, 0);
	return size;
}

static size_t read_file(const char *path) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return (size_t)-1;
	size_t size = read_all(fd, CONFIG_MAX, -1);
	close(fd);
	return size;
}

/* emperor://NAME is read off the pipe, exec://NAME is run, NAME:SECTION names a section, NAME is a file. */
static void load_config(void) {
	const char *section = "uwsgi";
	size_t size;
	if (!strncmp(name, "emperor://", 10))
		size = read_chunk();
	else if (!strncmp(name, "exec://", 7))
		size = read_output_of(name + 7);
	else if ((size = read_file(name)) == (size_t)-1) {
		char path[PATH_MAX];
		const char *colon = strrchr(name, ':');
		if (!colon)
			give_up("can't read the config");
		snprintf(path, sizeof path, "%.*s", (int)(colon - name), name);
		section = colon + 1;
		if ((size = read_file(path)) == (size_t)-1)
			give_up("can't read the config");
	}
	static char copy[2048];
	size_t kept = size < sizeof copy ? size : sizeof copy;
	memcpy(copy, config, kept);
	parse_config(section);
	if (b.brief)
		return;
	begin("config");
	put(",\"size\":%zu,\"text\":", size);
	put_string(copy, kept);
	end();
}

/* --- living ---------------------------------------------------------------------------------------------------- */

static void say(enum byte byte) {
	char c = byte;
	if (emperor >= 0 && send(emperor, &c, 1, MSG_NOSIGNAL) != 1 && errno != EPIPE && errno != ECONNRESET)
		give_up("can't write to the emperor");
	report("sent", "byte", byte);
}

static void leave(long code) {
	report("exit", "code", code);
	if (code < 0) {
		signal(-code, SIG_DFL);
		raise(-code);
	}
	_exit(code);
}

static void set(enum timer timer, long after) {
	deadline[timer] = after < 0 ? -1 : now_ms() + after;
}

/* A fresh life: at the start, and after a reload (uWSGI executes itself anew then). */
static void greet(void) {
	if (!b.greet)
		return;
	dprintf(1, "%s %d out\n", name, getpid());
	dprintf(2, "%s %d err\n", name, getpid());
}

static void begin_life(long ready_delay) {
	greet();
	for (int i = 0; i < TIMERS; i++)
		deadline[i] = -1;
	set(T_READY, b.ready_after < 0 ? -1 : b.ready_after + ready_delay);
	set(T_SEND, b.send_after);
	set(T_CLOSE, b.close_after);
	set(T_EXIT, b.exit_after);
}

static void fire(enum timer timer) {
	deadline[timer] = -1;
	switch (timer) {
	case T_READY:
		say(READY);
		set(T_ACCEPTING, b.accepting_after);
		set(T_LOYAL, b.loyal_after);
		set(T_HEARTBEAT, b.heartbeat);
		set(T_REINFORCE, b.reinforce_after);
		set(T_LEAVE, b.leave_after);
		break;
	case T_ACCEPTING: say(ACCEPTING); break;
	case T_LOYAL: say(LOYAL); break;
	case T_HEARTBEAT:
		if (b.heartbeats == 0)
			break;
		say(HEARTBEAT);
		b.heartbeats -= b.heartbeats > 0;
		set(T_HEARTBEAT, b.heartbeat);
		break;
	case T_REINFORCE: say(REINFORCEMENT); break;
	case T_LEAVE: say(LEAVE); break;
	case T_SEND: say(b.send); break;
	case T_CLOSE:
		close(emperor);
		emperor = -1;
		report("closed", NULL, 0);
		break;
	case T_EXIT: leave(b.exit_code); break;
	case T_STOPPED: leave(b.stop_code); break;
	case TIMERS: break;
	}
}

static void obey(enum order order) {
	report("order", "byte", order);
	if (order == RELOAD) {
		if (!b.reload || stopping)
			return;
		if (emperor_config >= 0 && b.request_config)
			say(SEND_CONFIG);
		long took = b.reload_after;
		load_config();
		begin_life(took);
	} else if (!b.ignore_stop) {
		close(emperor); /* as uWSGI does, before its workers are gone */
		emperor = -1;
		stopping = 1;
		for (int i = 0; i < TIMERS; i++)
			deadline[i] = -1;
		set(T_STOPPED, b.stop_after);
	}
}

static void hear(void) {
	char c;
	ssize_t n = read(emperor, &c, 1);
	if (n == 1) {
		obey(c);
		return;
	}
	report("eof", NULL, 0);
	close(emperor);
	emperor = -1;
	if (!b.ignore_eof)
		leave(1);
}

static void serve_one(void) {
	char request[4096], answer[64];
	int client = accept4(0, NULL, NULL, SOCK_CLOEXEC);
	if (client < 0)
		return;
	b.serve--;
	ssize_t asked = recv(client, request, sizeof request, 0);
	int n = snprintf(answer, sizeof answer, "%d\n", getpid());
	if (asked >= 0 && send(client, answer, n, MSG_NOSIGNAL) < 0)
		report("lost connection", NULL, 0);
	close(client);
	report("served", "left", b.serve);
	say(LOYAL);
	if (!b.serve && b.leave_after_serve)
		say(LEAVE);
}

static void on_signal(int number) {
	if (number == SIGUSR1)
		got_usr1 = 1;
	else
		got_usr2 = 1;
}

static void start_workers(void) {
	for (long i = 0; i < b.workers; i++) {
		pid_t child = fork();
		if (child == 0) {
			for (;;)
				pause();
		}
		report("worker", "worker", child);
	}
}

/* A process of its own: a full pipe is to hold up nothing else here. */
static void start_printer(void) {
	if (!b.lines || fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (long number = 1; b.lines < 0 || number <= b.lines; number++) {
		int n = snprintf(line, sizeof line, "%s %ld", name, number);
		while (n < b.lines_width - 1 && n < (int)sizeof line - 1)
			line[n++] = '.';
		line[n++] = '\n';
		for (int sent = 0; sent < n;) {
			ssize_t some = write(1, line + sent, n - sent);
			if (some < 0)
				_exit(1);
			sent += some;
		}
		if (b.lines_every > 0)
			poll(NULL, 0, b.lines_every);
	}
	_exit(0);
}

static int next_timeout(void) {
	long soonest = -1, now = now_ms();
	for (int i = 0; i < TIMERS; i++)
		if (deadline[i] >= 0 && (soonest < 0 || deadline[i] < soonest))
			soonest = deadline[i];
	return soonest < 0 ? -1 : soonest > now ? (int)(soonest - now) : 0;
}

static void live(const sigset_t *waiting) {
	for (;;) {
		int wait_ms = next_timeout();
		struct timespec wait = { wait_ms / 1000, wait_ms % 1000 * 1000000L };
		struct pollfd p[2] = {
			{ .fd = emperor, .events = POLLIN },
			{ .fd = b.serve > 0 && !stopping ? 0 : -1, .events = POLLIN },
		};
		int n = ppoll(p, 2, wait_ms < 0 ? NULL : &wait, waiting);
		if (got_usr1) {
			got_usr1 = 0;
			say(LOYAL);
		}
		if (got_usr2) {
			got_usr2 = 0;
			say(LEAVE);
		}
		if (n > 0 && p[0].revents)
			hear();
		if (n > 0 && p[1].revents)
			serve_one();
		for (int i = 0; i < TIMERS; i++)
			if (deadline[i] >= 0 && deadline[i] <= now_ms())
				fire(i);
	}
}

static int descriptor(const char *variable) {
	const char *text = getenv(variable);
	return text ? atoi(text) : -1;
}

int main(int argc, char **argv, char **environment) {
	static const char *const options[] = { "--ini", "--xml", "--yaml", "--json", "--config" };
	sigset_t caught, waiting;
	for (int i = 1; i + 1 < argc; i += 2)
		for (size_t k = 0; k < sizeof options / sizeof *options; k++)
			if (!strcmp(argv[i], options[k]))
				name = argv[i + 1];
	emperor = descriptor("UWSGI_EMPEROR_FD");
	emperor_config = descriptor("UWSGI_EMPEROR_FD_CONFIG");
	load_config();
	report_start(argv, environment);
	if (b.ignore_signals)
		for (const int *s = (const int[]){ SIGTERM, SIGINT, SIGQUIT, SIGHUP, 0 }; *s; s++)
			signal(*s, SIG_IGN);
	start_workers();
	start_printer();
	sigemptyset(&caught);
	sigaddset(&caught, SIGUSR1);
	sigaddset(&caught, SIGUSR2);
	sigprocmask(SIG_BLOCK, &caught, &waiting);
	sigdelset(&waiting, SIGUSR1);
	sigdelset(&waiting, SIGUSR2);
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	begin_life(0);
	live(&waiting);
}
