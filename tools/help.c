// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "commands.h"
#include "help.h"

static const struct command commands[] = {
	{ "show", cmd_show, true, "show devices, peers and SAs",
	  "espudp show [DEV [PEER]] [--json]\n" },
	{ "set", cmd_set, true, "change settings of a device",
	  "espudp set DEV [SETTING VALUE]...\n"
	  "  port N                      UDP port (4500)\n"
	  "  fwmark N|off                mark of outer packets\n"
	  "  bound-dev IF|none           device for outer packets\n"
	  "  outer-csum auto|zero|full   checksum of outer UDP over IPv4\n"
	  "  df copy|set|clear           don't-fragment bit of outer packets\n"
	  "  frag inside|outside         where large packets are fragmented\n"
	  "  dscp copy|zero              DSCP of outer packets\n"
	  "  ttl N                       TTL of outer packets, 0: the route's\n"
	  "  pmtu-discovery on|off       whether ICMP lowers a peer's path MTU\n"
	  "  on-socket-loss keep|flush   what happens to peers then\n"
	  "  replay-window N             of SAs that name none, 0 to 8192\n"
	  "  pool PREFIX|none            virtual addresses of peers in transport\n"
	  "  pool6 PREFIX|none           mode, IPv4 and IPv6\n"
	  "  nat-scope no-responder|responder|both, or 0|1|2\n"
	  "                              peers behind which NATs are taken\n" },
	{ "socket", cmd_socket, true, "open, adopt or close UDP sockets",
	  "espudp socket open DEV [port N] [ipv4] [ipv6]\n"
	  "espudp socket adopt DEV fd N [marker strip|keep]\n"
	  "  Descriptor N is a bound UDP socket that this program inherits, as\n"
	  "  in `espudp socket adopt espudp0 fd 3 3<&SOCKET'; its owner goes on\n"
	  "  to read IKE from it.\n"
	  "espudp socket close DEV\n" },
	{ "peer", cmd_peer, true, "add, change or delete peers",
	  "espudp peer add DEV [WORDS] [--json]    prints the id\n"
	  "espudp peer set DEV PEER [WORDS] [no-selectors]\n"
	  "espudp peer del DEV PEER [unprotect]    unprotect: also removes the\n"
	  "                                        unreachable routes\n"
	  "PEER is an id, a name, a virtual address, or the outer ADDR[:PORT] if\n"
	  "nobody else is there. WORDS are\n"
	  "  id N, name S, cookie N\n"
	  "  mode tunnel|transport\n"
	  "  local ADDR, remote ADDR[:PORT]   outer addresses\n"
	  "  keepalive off|SECONDS\n"
	  "  roaming off|port|address\n"
	  "  nat-local unknown|no|yes, nat-remote unknown|no|yes\n"
	  "  role unknown|initiator|responder of this host\n"
	  "  ike S                            name of the IKE SA, empty: none\n"
	  "  virtual ADDR|auto|none           transport mode, address of DEV's pool\n"
	  "  take-over PEER                   whose virtual address it gets\n"
	  "  tfc N                            pad inner packets to N octets\n"
	  "  routes auto|none                 auto: a route to DEV and an\n"
	  "                                   unreachable one for each remote; in\n"
	  "                                   transport mode to virtual addresses\n"
	  "  selector local RANGE remote RANGE [proto N|NAME]\n"
	  "    [local-port N[-M]] [remote-port N[-M]] [prio N]\n"
	  "                                   repeated; RANGE is PREFIX or A-B\n" },
	{ "sa", cmd_sa, true, "add, change, delete or show SAs",
	  "espudp sa add DEV PEER in|out spi N enc ALG key-file FILE\n"
	  "  [auth ALG auth-key-file FILE] [icv BITS] [esn] [replay-window N]\n"
	  "  [seq N] [remote ADDR:PORT] [oa-local ADDR oa-remote ADDR]\n"
	  "  [standby MS] [LIFETIMES]\n"
	  "espudp sa set DEV in spi N LIFETIMES\n"
	  "espudp sa set DEV out PEER spi N LIFETIMES\n"
	  "espudp sa del DEV in spi N\n"
	  "espudp sa del DEV out PEER spi N\n"
	  "espudp sa reserve DEV [peer PEER] [min N] [max N] [timeout N]\n"
	  "espudp sa show DEV [PEER] [--json]\n"
	  "LIFETIMES: soft-seconds N, hard-seconds N, soft-packets N,\n"
	  "  hard-packets N, soft-bytes N, hard-bytes N\n"
	  "ALG: aes-gcm, chacha20-poly1305, aes-ccm, aes-gmac, which take no\n"
	  "  auth; aes-cbc, 3des-cbc, aes-ctr, null, with auth md5, sha1,\n"
	  "  sha256, sha384, sha512; or the kernel's names.\n"
	  "FILE: hexadecimal text, the key followed by its salt; - is standard\n"
	  "  input, a line each when it is both.\n" },
	{ "flush", cmd_flush, true, "delete SAs, or peers and SAs",
	  "espudp flush DEV sas [PEER]\n"
	  "espudp flush DEV peers\n" },
	{ "route", cmd_route, true, "install, remove or list routes of peers",
	  "espudp route add DEV            for all peers\n"
	  "espudp route del DEV [PREFIX]...  also the guards, unreachable and blackhole\n"
	  "espudp route show DEV [--json]\n"
	  "espudp route guard FILE         the guards for a configuration file;\n"
	  "                                needs neither device nor module\n" },
	{ "shield", cmd_shield, true, "no L2TP in clear text, by nftables",
	  "espudp shield on [port N]... [device NAME]...\n"
	  "  UDP port 1701, unless others are said, passes through espudp devices,\n"
	  "  IPsec of the kernel and the devices named, or not at all.\n"
	  "espudp shield off\n"
	  "espudp shield show [--json]\n" },
	{ "monitor", cmd_monitor, true, "print events as they come",
	  "espudp monitor [[dev] DEV] [--json]\n"
	  "espudp monitor ike [[dev] DEV] [--json]\n"
	  "  A line for each IKE datagram that comes: addresses, SPIs, exchange,\n"
	  "  never what is in it. The module tells them while this runs.\n" },
	{ "stats", cmd_stats, true, "show all counters of a device",
	  "espudp stats DEV [--json]\n" },
	{ "setconf", cmd_setconf, false, "make a device what a file says",
	  "espudp setconf DEV FILE\n"
	  "  Peers and SAs that the file does not have are deleted. If anything\n"
	  "  is refused, nothing is changed. See espudp(8) for the file.\n" },
	{ "syncconf", cmd_syncconf, false, "the same, without moving peers",
	  "espudp syncconf DEV FILE\n"
	  "  As setconf, but a roaming peer that was heard stays where it is.\n"
	  "  Peers and SAs that do not differ are not touched.\n" },
	{ "showconf", cmd_showconf, false, "print a file that setconf takes",
	  "espudp showconf DEV\n"
	  "  Keys cannot be read back: add KeyFile lines.\n" },
	{ "help", cmd_help, false, "explain a command",
	  "espudp help [COMMAND]\n" },
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

void command_help(const struct command *c, FILE *f)
{
	fputs(c->text, f);
}

int cmd_help(struct words *w)
{
	const char *word = words_next(w);
	const struct command *c;

	if (word) {
		c = command_find(word);
		if (!c)
			return usage("unknown command `%s', see `espudp help'",
				     word);
		command_help(c, stdout);
		return words_end(w);
	}
	puts("Usage: espudp COMMAND [WORD]... [--json]\n\nCommands:");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-9s %s\n", commands[i].name, commands[i].summary);
	puts("\n`espudp help COMMAND' explains one; espudp(8) has it all.");
	return OK;
}
