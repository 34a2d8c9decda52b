// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "../conf.h"
#include "unit.h"

static int parse(struct conf *conf, const char *text)
{
	char *copy = strdup(text);
	int ret;

	memset(conf, 0, sizeof(*conf));
	conf->file = "dir/test.conf";
	ret = conf_parse(conf, copy);
	if (!ret)
		ret = conf_check(conf);
	free(copy);
	return ret;
}

static void test_good(void)
{
	const struct conf_peer *p;
	const struct conf_sa *s;
	struct conf conf;

	check(!parse(&conf,
		     "# comment\n"
		     "[device]\r\n"
		     " Port=500 # comment\n"
		     "FwMark = 0x10\nOuterChecksum = zero\nDF = set\n"
		     "Fragment = outside\nDSCP = zero\nTTL = 3\n"
		     "PmtuDiscovery = no\nOnSocketLoss = flush\n"
		     "ReplayWindow = 64\nListen = yes\nNatScope = 0\n"
		     "Pool = 100.100.0.0/16\nPool6 = none\n"
		     "\n"
		     "[Peer]\nName = a\\x23 b\nId = 0x7\nMode = transport\n"
		     "Local = 192.0.2.1\nRemote = [::1]:7\nKeepalive = off\n"
		     "Roaming = port\nNatLocal = yes\nNatRemote = no\nTFC = 9\n"
		     "Cookie = 18446744073709551615\nRoutes = none\n"
		     "Role = responder\nVirtual = fd64::7\n"
		     "Selector = local 10.0.0.0/8 remote\t10.1.0.0/16 prio 1\n"
		     "selector = local ::/0 remote ::/0\n"
		     "[SA]\nDirection = in\nSPI = 0x100\n"
		     "Encryption = aes-cbc\nAuthentication = sha256\n"
		     "KeyFile = k#1 # here\nAuthKeyFile = /abs/k2\nICV = 128\n"
		     "ESN = yes\nReplayWindow = 32\nHardSeconds = 1\n"
		     "SoftPackets = off\nOaLocal = 192.0.2.1\n"
		     "OaRemote = 10.0.0.1"));
	check(conf.dev.port == 500 && conf.dev.fwmark == 16);
	check(conf.listen == LISTEN_OWN);
	check(conf.dev.pmtu_discovery == 0 &&
	      HAS(&conf.dev, ESPUDP_A_DEV_PMTU_DISCOVERY));
	check(conf.dev.nat_scope == 0 &&
	      HAS(&conf.dev, ESPUDP_A_DEV_NAT_SCOPE));
	check(conf.dev.pool.n == 2);
	check(conf.peers.n == 1);
	p = LIST(struct conf_peer, &conf.peers);
	check(!strcmp(p->peer.name, "a# b") && p->peer.id == 7);
	check(p->no_routes && p->peer.selector.n == 2);
	check(p->peer.remote_port == 7);
	check(p->peer.virtual.family == AF_INET6);
	check(p->sas.n == 1);
	s = LIST(struct conf_sa, &p->sas);
	check(!strcmp(s->sa.enc, "cbc(aes)"));
	check(!strcmp(s->key_file, "dir/k#1"));
	check(!strcmp(s->auth_key_file, "/abs/k2"));
	check(s->sa.esn && s->sa.hard_seconds == 1);
	check(conf_read_keys(&conf)); /* there are no such files */
	conf_free(&conf);
	check(!parse(&conf, "") && !conf.peers.n);
	conf_free(&conf);
}

#define PEER "[Peer]\nName = p\n"
#define SA "[SA]\nDirection = in\nSPI = 256\nEncryption = aes-gcm\n"

static void test_bad(void)
{
	static const char *const bad[] = {
		"Port = 1",
		"[Device",
		"[Devices]",
		"[Device]\n[Device]",
		"[Device]\nPort",
		"[Device]\nPort = ",
		"[Device]\n= 1",
		"[Device]\nPort = 1\nPort = 1",
		"[Device]\nPorts = 1",
		"[Device]\nPort = 70000",
		"[Device]\nListen = 4500",
		"[Device]\nListen = no\nListen = no",
		"[Device] x",
		"[]",
		"x",
		"[Device]\nTTL = -1",
		"[Device]\nPool = fd64::/64",
		"[Device]\nPool6 = 10.0.0.0/8",
		"[Device]\nPool = none\nPool = none",
		"[Device]\nNatScope = 3",
		PEER "Virtual = x",
		PEER "TakeOver = 1",
		"[Device]\nBoundDevice = no-such-dev",
		"[SA]",
		"[Peer]",
		"[Peer]\nMode = tunnel",
		"[Peer]\nId = 0",
		"[Peer]\nName = 1",
		"[Peer]\nName = a\\b",
		"[Peer]\nName = a\\x00",
		"[Peer]\nName = a\\x0",
		"[Peer]\nName =",
		PEER "Remote = x",
		PEER "Routes = maybe",
		PEER "Selector = local ::/0",
		PEER "Selector = local ::/0 remote ::/0 x",
		PEER PEER,
		"[Peer]\nId = 1\n[Peer]\nId = 1",
		PEER "Selector = local ::/0 remote ::/0\n"
		     "[Peer]\nName = q\nSelector = local ::/0 remote ::/0",
		PEER "[SA]\nSPI = 256\nEncryption = aes-gcm\n",
		PEER "[SA]\nDirection = in\nEncryption = aes-gcm\n",
		PEER "[SA]\nDirection = in\nSPI = 256\n",
		PEER "[SA]\nDirection = up",
		PEER "[SA]\nDirection = in\nSPI = 255\nEncryption = aes-gcm\n",
		PEER SA SA,
		PEER SA "[Peer]\nName = q\n" SA,
		PEER SA "ICV = 80",
		PEER SA "Authentication = sha1",
		PEER SA "ESN = yes\nReplayWindow = 0",
		PEER SA "KeyFile =",
		PEER SA "KeyFile = a\nKeyFile = a",
		PEER "[SA]\nDirection = out\nSPI = 256\nReplayWindow = 1\n"
		     "Encryption = aes-gcm\n",
		PEER SA "Key = 0011",
		PEER SA "Name = x",
	};
	static const char *const good[] = {
		PEER SA,
		PEER SA "[SA]\nDirection = out\nSPI = 256\nEncryption = "
			"aes-gcm\n",
		PEER "Id = 1\n" PEER "Id = 2",
		/* In transport mode addresses are the ends', whatever they are. */
		PEER "Mode = transport\nSelector = local ::/0 remote ::/0\n"
		     "[Peer]\nName = q\nMode = transport\n"
		     "Selector = local ::/0 remote ::/0",
		PEER
		"Selector = local ::/0 remote ::/0\n"
		"[Peer]\nName = q\nSelector = local ::/0 remote ::/0 prio 1",
	};
	struct conf conf;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (!parse(&conf, bad[i]))
			printf("taken: %s\n", bad[i]);
		check(conf.peers.n <= 2);
		conf_free(&conf);
		check(parse(&conf, bad[i]) == FAILED);
		conf_free(&conf);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		check(!parse(&conf, good[i]));
		conf_free(&conf);
	}
}

void test_conf(void)
{
	test_good();
	test_bad();
}
