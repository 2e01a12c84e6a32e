/* top.c - `wghub top`: asks a hub again and again and shows what it does, on the terminal or once
 * as text.
 *
 * The hub is asked on libuv's pool, so that keys and signals are answered also while it is silent.
 * The terminal is spoken to in a dozen escape sequences that every terminal of today knows: for
 * that no library is linked, because each library the program has costs every hub memory. They are
 * below, all of them; text that is shown never holds one (row.h). However this ends but by SIGKILL,
 * the terminal gets its old settings and screen back. */
#include "control/cli/hubs.h"
#include "control/top_keys.h"

#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define INTERVAL_MS 2000
#define FIRST_MS 500
#define INTERVAL_MS_MIN 100
#define INTERVAL_MS_MAX 3600000

/* Alternate screen, no cursor, no wrapping at its edge, cleared. And back. */
#define SCREEN_BEGIN "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define SCREEN_END "\033[0m\033[H\033[2J\033[?7h\033[?25h\033[?1049l"
#define SCREEN_CLEAR "\033[2J"

enum {
	SIGNAL_RESIZE,
	SIGNAL_STOP,
	SIGNAL_CONTINUE,
	SIGNAL_INT,
	SIGNAL_TERM,
	SIGNAL_HUP,
	SIGNAL_QUIT,
	N_SIGNALS
};

struct options {
	const char *dir, *asked;
	unsigned interval_ms;
	bool once;
};

struct top {
	struct options options;
	char name[16];
	struct top_model model;
	struct top_view view;
	struct top_keys keys;
	uv_loop_t loop;
	uv_timer_t timer;
	uv_poll_t input;
	uv_signal_t signals[N_SIGNALS];
	struct termios before; /* of the terminal */
	bool has_keys, no_colour;
	unsigned line; /* of the screen that is being written */
	/* The question under way, on another thread. */
	uv_work_t work;
	bool asking;
	struct ctl_answer answer;
	struct wgh_error error;
	int err;
};

static uint64_t steady_ms(void)
{
	return uv_hrtime() / 1000000;
}

/* ---- the terminal ---- */

/* What no terminal takes any more is lost, and its end comes by another way. */
static void tell(const char *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

static void terminal_begin(struct top *top)
{
	struct termios raw;

	if (top->has_keys) {
		raw = top->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_iflag &=
			~(tcflag_t)IXON; /* or Ctrl-S would hold this program up in its writing */
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	tell(SCREEN_BEGIN);
}

static void terminal_end(struct top *top)
{
	tell(SCREEN_END);
	if (top->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &top->before);
}

static void terminal_size(struct top *top)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	top->view.rows = size.ws_row;
	top->view.cols = size.ws_col;
}

static const char *style_begin(const struct top *top, enum top_style style)
{
	switch (style) {
	case TOP_STRONG:
		return "\033[1m";
	case TOP_HEADING:
		return "\033[7m";
	case TOP_FAINT:
		return "\033[2m";
	case TOP_ALARM:
		return top->no_colour ? "\033[1m" : "\033[1;31m";
	default:
		return "";
	}
}

/* Each line goes to its own place, whatever the terminal made of the one before. */
static void put_line(void *arg, enum top_style style, const char *text)
{
	struct top *top = arg;

	printf("\033[%u;1H%s%s\033[0m", ++top->line, style_begin(top, style), text);
}

static void draw(struct top *top)
{
	top->line = 0;
	top_model_order(&top->model, top->view.sort, top->view.filter);
	top_view_draw(&top->view, &top->model, put_line, top);
	fflush(stdout);
}

static void put_plain_line(void *arg, enum top_style style, const char *text)
{
	size_t n = strlen(text);

	(void)arg;
	(void)style;
	while (n > 0 && text[n - 1] == ' ')
		n--;
	printf("%.*s\n", (int)n, text);
}

/* ---- asking ---- */

static void take_answer(struct top *top)
{
	if (!top->err && top_model_take(&top->model, &top->answer, steady_ms(), time(NULL)))
		top_model_lost(&top->model, "out of memory");
	else if (top->err)
		top_model_lost(&top->model, top->error.text);
	ctl_answer_fini(&top->answer);
}

static void ask(uv_work_t *work)
{
	struct top *top = work->data;

	top->err = ctl_get(&top->answer, top->options.dir, top->name, &top->error);
}

static void on_answer(uv_work_t *work, int status)
{
	struct top *top = work->data;

	top->asking = false;
	if (status)
		return;
	take_answer(top);
	draw(top);
}

static void on_timer(uv_timer_t *timer)
{
	struct top *top = timer->data;

	if (top->asking || top->view.paused)
		return;
	top->work.data = top;
	top->asking = !uv_queue_work(&top->loop, &top->work, ask, on_answer);
}

/* ---- keys and signals ---- */

static void on_input(uv_poll_t *input, int status, int events)
{
	struct top *top = input->data;
	char bytes[256];
	ssize_t n = status ? 0 : read(STDIN_FILENO, bytes, sizeof bytes);

	(void)events;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0 || !top_keys_take(&top->keys, &top->view, bytes, (size_t)n))
		uv_stop(&top->loop); /* the terminal has gone, or that is enough */
	else
		draw(top);
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct top *top = signal->data;

	switch (number) {
	case SIGWINCH:
		terminal_size(top);
		tell(SCREEN_CLEAR);
		draw(top);
		break;
	case SIGTSTP:
		terminal_end(top);
		raise(SIGSTOP);
		break;
	case SIGCONT: /* the shell may have changed the terminal, or its window its size */
		terminal_size(top);
		terminal_begin(top);
		draw(top);
		break;
	default:
		uv_stop(&top->loop);
	}
}

static int start_loop(struct top *top)
{
	static const int numbers[N_SIGNALS] = {[SIGNAL_RESIZE] = SIGWINCH,
		[SIGNAL_STOP] = SIGTSTP,
		[SIGNAL_CONTINUE] = SIGCONT,
		[SIGNAL_INT] = SIGINT,
		[SIGNAL_TERM] = SIGTERM,
		[SIGNAL_HUP] = SIGHUP,
		[SIGNAL_QUIT] = SIGQUIT};
	unsigned every_ms = top->options.interval_ms;
	int err = uv_loop_init(&top->loop);

	for (unsigned i = 0; i < N_SIGNALS && !err; i++) {
		err = uv_signal_init(&top->loop, &top->signals[i]);
		top->signals[i].data = top;
		if (!err)
			err = uv_signal_start(&top->signals[i], on_signal, numbers[i]);
	}
	if (!err && top->has_keys) {
		err = uv_poll_init(&top->loop, &top->input, STDIN_FILENO);
		top->input.data = top;
		if (!err)
			err = uv_poll_start(&top->input, UV_READABLE, on_input);
	}
	if (!err)
		err = uv_timer_init(&top->loop, &top->timer);
	top->timer.data = top;
	/* Nobody likes to wait for the first rates. */
	if (!err)
		err = uv_timer_start(
			&top->timer, on_timer, every_ms < FIRST_MS ? every_ms : FIRST_MS, every_ms);
	if (err)
		say_error("cannot start: %s", uv_strerror(err));
	return err;
}

/* ---- the two ways to show it ---- */

static int show_live(struct top *top)
{
	setvbuf(stdout, NULL, _IOFBF, 64 << 10);
	top->has_keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &top->before);
	top->no_colour = getenv("NO_COLOR") && *getenv("NO_COLOR");
	if (start_loop(top))
		return EXIT_FAILED;
	terminal_size(top);
	terminal_begin(top);
	draw(top);
	uv_run(&top->loop, UV_RUN_DEFAULT);
	terminal_end(top);
	/* exit() would wait for the thread that waits for the hub. */
	_exit(0);
}

static int show_once(struct top *top)
{
	const struct timespec wait = {.tv_sec = top->options.interval_ms / 1000,
		.tv_nsec = (long)(top->options.interval_ms % 1000) * 1000000};

	if (top->options.interval_ms) {
		nanosleep(&wait, NULL);
		top->work.data = top;
		ask(&top->work);
		if (top->err) {
			say_error("%s", top->error.text);
			return EXIT_FAILED;
		}
		take_answer(top);
	}
	top_model_order(&top->model, top->view.sort, "");
	top_view_draw(&top->view, &top->model, put_plain_line, NULL);
	if (fflush(stdout) || ferror(stdout)) {
		say_error("standard output: %s", strerror(errno));
		return EXIT_FAILED;
	}
	return 0;
}

/* ---- the command ---- */

/* Whether the terminal's characters are UTF-8. Where the locale that says so is not installed, that
 * of the C library is as good. */
static bool use_locale(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *value = NULL;

	for (unsigned i = 0; i < 3 && (!value || !*value); i++)
		value = getenv(names[i]);
	if (!setlocale(LC_CTYPE, "") && value &&
		(strcasestr(value, "utf-8") || strcasestr(value, "utf8")))
		setlocale(LC_CTYPE, "C.UTF-8");
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static bool is_screen(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb");
}

static bool read_interval(unsigned *ms, const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !isfinite(s) || s < 0 || s * 1000 > INTERVAL_MS_MAX)
		return false;
	*ms = (unsigned)(s * 1000);
	return true;
}

static int read_options(struct options *o, int argc, char **argv)
{
	static const struct option long_options[] = {{"interval", required_argument, NULL, 'i'},
		{"intf-name", required_argument, NULL, 'n'}, {"once", no_argument, NULL, 'o'},
		{"socket-dir", required_argument, NULL, 'd'}, {0}};
	int option;

	*o = (struct options){.interval_ms = INTERVAL_MS};
	while ((option = getopt_long(argc, argv, ":i:n:", long_options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return say_bad_option(&command_top, argv, option);
		if (option == 'd')
			o->dir = optarg;
		else if (option == 'n')
			o->asked = optarg;
		else if (option == 'o')
			o->once = true;
		else if (!read_interval(&o->interval_ms, optarg))
			return say_usage(
				&command_top, "--interval is a number of seconds, 0.1 to 3600");
	}
	o->once |= !is_screen();
	if (o->interval_ms < INTERVAL_MS_MIN && !(o->once && !o->interval_ms))
		return say_usage(&command_top,
			"--interval is a number of seconds, 0.1 to 3600, or 0 with --once");
	if (argc - optind + (o->asked != NULL) > 1)
		return say_usage(&command_top, "more than one name");
	if (optind < argc)
		o->asked = argv[optind];
	o->dir = socket_dir_or_default(o->dir);
	return o->dir ? 0 : EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	static struct top top;
	int code = read_options(&top.options, argc, argv);

	if (code)
		return code;
	top_model_init(&top.model);
	code = hub_any(top.name, &top.answer, top.options.dir, top.options.asked);
	if (code)
		return code;
	take_answer(&top);
	top.view = (struct top_view){.hub = top.name, .utf8 = use_locale()};
	code = top.options.once ? show_once(&top) : show_live(&top);
	top_model_fini(&top.model);
	return code;
}

const struct command command_top = {"top", run,
	"what a hub does just now: peers by traffic, rates, drops: wghub top [NAME]",
	"Usage: wghub top [NAME] [--interval S] [--once] [--socket-dir DIR]\n"
	"\n"
	"Shows a running hub on the terminal: peers by traffic with rates and bars of how they "
	"were, "
	"handshakes,\n"
	"drops by reason. Keys: q quits, s sorts by rate, total, name or handshake, / shows peers "
	"that\n"
	"match, p pauses, arrows and PgUp, PgDn scroll, ? tells the rest. A hub that ends is "
	"waited "
	"for.\n"
	"Where standard output is no terminal, or TERM is dumb, and with --once: plain text, after "
	"one\n"
	"interval.\n"
	"\n"
	"  -n, --intf-name NAME   the same as NAME; needed where several hubs run here\n"
	"  -i, --interval S       seconds between two questions to the hub (2); with --once 0 for "
	"totals\n"
	"                         at once, without rates\n"
	"  --once                 plain text, once\n"
	"  --socket-dir DIR       where its socket is (/var/run/wireguard)\n"
	"\n"
	"NO_COLOR leaves colours out; the locale says whether bars may be drawn in UTF-8.\n"};
