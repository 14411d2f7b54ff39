/*
 * What a machine allows: an emperor with nothing but the work. It reads a folder, starts each vassal by one vfork (own
 * session, signal at its parent's death, uid dropped, a socket to talk over), hears changes by inotify and sends the reload
 * byte, starts again what dies. No rules, no parsing, no log: nobody should run it; it is what others are measured against.
 *
 * usage: limit FOLDER VASSAL UID      (UID -1: keep)      names are NUMBER.ini
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 20000
#define MOST_PIDS (1 << 22)

static const char *vassal;
static int uid, poller, living, stopping;
static int socket_of[MOST];
static int known[MOST];
static int number_of[MOST_PIDS];
static sigset_t blocked;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void spawn(int number) {
	char name[16];
	int ends[2];
	char *words[] = { "vassal", "--ini", name, NULL }, *environment[] = { "UWSGI_EMPEROR_FD=3", NULL };
	snprintf(name, sizeof name, "%05d.ini", number);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		die("socketpair");
	pid_t pid = vfork();
	if (pid == 0) {
		setsid();
		if (uid >= 0 && (setgroups(0, NULL) || setgid(uid) || setuid(uid)))
			_exit(126);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], 3);
		sigprocmask(SIG_UNBLOCK, &blocked, NULL);
		execve(vassal, words, environment);
		_exit(127);
	}
	if (pid < 0)
		die("vfork");
	close(ends[1]);
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = number };
	if (epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &e))
		die("epoll_ctl");
	socket_of[number] = ends[0];
	number_of[pid] = number;
	known[number] = 1;
	living++;
}

static void tell(int number, char byte) {
	if (socket_of[number])
		send(socket_of[number], &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void tell_all(char byte) {
	for (int number = 0; number < MOST; number++)
		tell(number, byte);
}

static void bury(void) {
	for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
		int number = number_of[pid];
		close(socket_of[number]);
		socket_of[number] = 0;
		living--;
		if (!stopping)
			spawn(number);
	}
}

static void look(int watch) {
	char buffer[65536] __attribute__((aligned(8)));
	ssize_t size = read(watch, buffer, sizeof buffer);
	for (char *at = buffer; at < buffer + size;) {
		struct inotify_event *e = (struct inotify_event *)at;
		int number = e->len ? atoi(e->name) : -1;
		if (number >= 0 && number < MOST) {
			if (e->mask & IN_MOVED_TO && !known[number])
				spawn(number);
			else
				tell(number, 1);
		}
		at += sizeof *e + e->len;
	}
}

static int by_name(const struct dirent *entry) {
	return strstr(entry->d_name, ".ini") != NULL;
}

int main(int argc, char **argv) {
	struct dirent **entries;
	struct epoll_event events[256], e = { .events = EPOLLIN };
	if (argc != 4 || chdir(argv[1]))
		return 2;
	vassal = argv[2];
	uid = atoi(argv[3]);
	int zero = open("/dev/null", O_RDONLY);
	while (zero >= 0 && zero < 3) /* 3 is the vassals' */
		zero = dup(zero);
	poller = epoll_create1(EPOLL_CLOEXEC);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	int signals = signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK), watch = inotify_init1(IN_CLOEXEC);
	inotify_add_watch(watch, ".", IN_ATTRIB | IN_MOVED_TO | IN_CLOSE_WRITE);
	e.data.u32 = MOST;
	epoll_ctl(poller, EPOLL_CTL_ADD, signals, &e);
	e.data.u32 = MOST + 1;
	epoll_ctl(poller, EPOLL_CTL_ADD, watch, &e);
	int count = scandir(".", &entries, by_name, alphasort);
	for (int i = 0; i < count; i++)
		spawn(atoi(entries[i]->d_name));
	while (!stopping || living) {
		int n = epoll_wait(poller, events, 256, -1);
		for (int i = 0; i < n; i++) {
			char said[64];
			struct signalfd_siginfo info;
			int number = events[i].data.u32;
			if (number == MOST + 1)
				look(watch);
			else if (number == MOST) {
				while (read(signals, &info, sizeof info) == sizeof info) {
					if (info.ssi_signo == SIGHUP)
						tell_all(1);
					else if (info.ssi_signo == SIGTERM) {
						stopping = 1;
						tell_all(0);
					}
				}
				bury();
			} else if (socket_of[number] && recv(socket_of[number], said, sizeof said, MSG_DONTWAIT) == 0) {
				epoll_ctl(poller, EPOLL_CTL_DEL, socket_of[number], NULL);
			}
		}
	}
	return 0;
}
