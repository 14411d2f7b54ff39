/*
 * tether EMPEROR FOLDER LIMIT UID GID PROGRAM [ARGUMENT]...
 *
 * Ties this process to its emperor and executes PROGRAM: in FOLDER, with all signals at their defaults and none blocked,
 * with the soft limit LIMIT of descriptors, as UID and GID without other groups, and to be killed when EMPEROR (a process
 * id) dies. LIMIT, UID and GID may be "-": left as they are. It is what most vassals need, in 80 system calls.
 *
 * It uses no C library: starting one takes ten times as long as all of this. emperor_trio.processes.chain does the same,
 * and the rest, with programs that every system has.
 */
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/signal.h>

enum code { FAILED = 1, LOST_PARENT = 125, CANNOT_EXECUTE = 126, NO_PROGRAM = 127 }; /* the last two as in a shell */

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d) {
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return number;
}
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d) {
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c, x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl begin\n");
#else
#error "emperor-trio starts vassals through its chain of programs on this kind of machine"
#endif

static void say(const char *text) {
	long length = 0;
	while (text[length])
		length++;
	call(__NR_write, 2, (long)text, length, 0);
}

static void leave(enum code code) {
	for (;;)
		call(__NR_exit_group, code, 0, 0, 0);
}

static void refuse(const char *what, const char *why, enum code code) {
	say("emperor-trio: ");
	say(what);
	say(why);
	leave(code);
}

/* Decimal, for the few errors that have no words here. */
static void say_number(long n) {
	char digits[21], *first = digits + sizeof digits - 1;
	for (*first = 0; n > 0 && first > digits; n /= 10)
		*--first = '0' + n % 10;
	say(first);
}

/* What the kernel said: a call's result, the error's number below zero. */
static void say_reason(long result) {
	switch (-result) {
	case E2BIG: say("arguments and environment are too long"); break;
	case EACCES: say("permission denied"); break;
	case EAGAIN: say("too many processes of this user"); break;
	case EINVAL: say("invalid argument"); break;
	case EIO: say("input/output error"); break;
	case ELOOP: say("too many symbolic links"); break;
	case ENAMETOOLONG: say("the name is too long"); break;
	case ENOENT: say("it does not exist"); break;
	case ENOEXEC: say("no executable format"); break;
	case ENOMEM: say("out of memory"); break;
	case ENOTDIR: say("not a folder"); break;
	case EPERM: say("operation not permitted"); break;
	case ETXTBSY: say("it is being written"); break;
	default: say("error "); say_number(-result);
	}
}

static void refuse_for(const char *what, const char *why, long result, enum code code) {
	say("emperor-trio: ");
	say(what);
	say(why);
	say_reason(result);
	say("\n");
	leave(code);
}

/* The number that a word is, or -1 for "-". Anything else is nobody's number, least of all root's: it ends the start. */
static long number(const char *word) {
	long n = 0;
	const char *digit = word;
	if (word[0] == '-' && !word[1])
		return -1;
	for (; *digit >= '0' && *digit <= '9' && n < 1L << 32; digit++)
		n = n * 10 + (*digit - '0');
	if (digit == word || *digit || n >= (1L << 32) - 1)
		refuse(word, ": is no number here\n", FAILED);
	return n;
}

static void reset_signals(void) {
	long defaults[4] = { 0 }, none = 0; /* a struct sigaction of the kernel: all zero is SIG_DFL without flags */
	for (long signal = 1; signal <= 64; signal++)
		call(__NR_rt_sigaction, signal, (long)defaults, 0, sizeof none);
	call(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none);
}

static void limit_descriptors(long soft) {
	long limits[2], result;
	if (soft < 0)
		return;
	call(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, (long)limits);
	limits[0] = soft;
	if ((result = call(__NR_prlimit64, 0, RLIMIT_NOFILE, (long)limits, 0)))
		refuse_for("the limit of descriptors", ": can't be set: ", result, FAILED);
}

static void become(long uid, long gid) {
	long result;
	if (uid < 0 && gid < 0)
		return;
	if (uid < 0 || gid < 0)
		refuse("the owner", ": half of it is missing\n", FAILED);
	if ((result = call(__NR_setgroups, 0, 0, 0, 0)) || (result = call(__NR_setresgid, gid, gid, gid, 0)) ||
	    (result = call(__NR_setresuid, uid, uid, uid, 0)))
		refuse_for("the owner", ": can't become it: ", result, FAILED);
}

__attribute__((used)) static void begin(long *stack) {
	long count = stack[0], error;
	char **words = (char **)(stack + 1), **program = words + 6, **environment = words + count + 1;
	if (count < 7)
		refuse("tether", ": EMPEROR FOLDER LIMIT UID GID PROGRAM [ARGUMENT]...\n", FAILED);
	reset_signals();
	if ((error = call(__NR_chdir, (long)words[2], 0, 0, 0)))
		refuse_for(words[2], ": can't be entered: ", error, FAILED);
	limit_descriptors(number(words[3]));
	become(number(words[4]), number(words[5]));
	/* After the change of uid, which would clear it. Whoever died before this sends no signal. */
	if (call(__NR_prctl, PR_SET_PDEATHSIG, 9, 0, 0) || call(__NR_getppid, 0, 0, 0, 0) != number(words[1]))
		leave(LOST_PARENT);
	error = call(__NR_execve, (long)program[0], (long)program, (long)environment, 0);
	if (error == -ENOEXEC) { /* a script that does not say whose it is: the shell's, as for execvp() */
		program[-1] = "/bin/sh";
		call(__NR_execve, (long)program[-1], (long)(program - 1), (long)environment, 0);
	}
	if (error == -ENOENT)
		refuse(program[0], ": there is no such program, or none that it names as its interpreter\n", NO_PROGRAM);
	refuse_for(program[0], ": can't be executed: ", error, CANNOT_EXECUTE);
}
