// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "help.h"
#include "json.h"

/* --json may stand anywhere. */
static void take_options(struct words *w)
{
	int n = 0;

	for (int i = 0; i < w->n; i++) {
		if (!strcmp(w->v[i], "--json"))
			json = true;
		else
			w->v[n++] = w->v[i];
	}
	w->n = n;
}

int main(int argc, char **argv)
{
	struct words w = { argv + 1, argc - 1 };
	const struct command *command;
	const char *word;
	int ret;

	take_options(&w);
	word = words_next(&w);
	if (!word)
		word = "show";
	if (!strcmp(word, "--version") || !strcmp(word, "version")) {
		puts("espudp " VERSION);
		return OK;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		word = "help";
	command = command_find(word);
	if (!command)
		return usage("unknown command `%s', see `espudp help'", word);
	if (w.n && (!strcmp(w.v[0], "--help") || !strcmp(w.v[0], "-h"))) {
		command_help(command, stdout);
		return OK;
	}
	if (json && !command->json)
		return usage("`%s' has no --json", word);
	ret = command->run(&w);
	if (fflush(stdout) || ferror(stdout))
		ret = error("standard output cannot be written");
	return ret;
}
