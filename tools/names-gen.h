/* SPDX-License-Identifier: GPL-2.0 */
/* Do not edit directly, made from uapi/espudp.yaml by uapi/regen */

static const char *const mode_names[] = {
	"tunnel",
	"transport",
};

static const char *const dir_names[] = {
	"in",
	"out",
};

static const char *const outer_csum_names[] = {
	"auto",
	"zero",
	"full",
};

static const char *const df_names[] = {
	"copy",
	"set",
	"clear",
};

static const char *const frag_names[] = {
	"inside",
	"outside",
};

static const char *const dscp_names[] = {
	"copy",
	"zero",
};

static const char *const socket_loss_names[] = {
	"keep",
	"flush",
};

static const char *const marker_names[] = {
	"strip",
	"keep",
};

static const char *const socket_kind_names[] = {
	"own",
	"adopted",
};

static const char *const roaming_names[] = {
	"off",
	"port",
	"address",
};

static const char *const nat_names[] = {
	"unknown",
	"no",
	"yes",
};

static const char *const role_names[] = {
	"unknown",
	"initiator",
	"responder",
};

static const char *const nat_scope_names[] = {
	"no-responder",
	"responder",
	"both",
};

static const char *const sa_state_names[] = {
	"reserved",
	"valid",
	"soft",
	"expired",
};

static const char *const event_type_names[] = {
	"expire-soft",
	"expire-hard",
	"mapping",
	"acquire",
	"replay",
	"auth",
	"seq-soft",
	"seq-exhausted",
	"socket-lost",
	"ike",
};

static const char *const expire_cause_names[] = {
	"seconds",
	"packets",
	"bytes",
	"reservation",
};

static const char *const flush_what_names[] = {
	"sas",
	"peers",
};

static const char *const drop_names[] = {
	"none",
	"rx-short",
	"rx-spi-reserved",
	"rx-spi-unknown",
	"rx-spi-larval",
	"rx-expired",
	"rx-dev-down",
	"rx-queue-full",
	"rx-nomem",
	"rx-align",
	"rx-replay-old",
	"rx-replay-seen",
	"rx-auth",
	"rx-crypto",
	"rx-pad",
	"rx-next-header",
	"rx-inner",
	"rx-selector",
	"rx-ecn",
	"rx-csum",
	"rx-dummy",
	"rx-ike-unowned",
	"rx-keepalive",
	"rx-defrag",
	"rx-virtual",
	"tx-no-selector",
	"tx-no-sa",
	"tx-no-endpoint",
	"tx-no-socket",
	"tx-no-route",
	"tx-loop",
	"tx-recursion",
	"tx-too-big",
	"tx-malformed",
	"tx-queue-full",
	"tx-nomem",
	"tx-crypto",
	"tx-seq-exhausted",
	"tx-expired",
	"tx-defrag",
	"tx-dev-down",
	"tx-virtual",
	"tx-source",
};

static const char *const espudp_attr_names[] = {
	"unspec",
	"ifindex",
	"ifname",
	"dev",
	"socket",
	"peer",
	"sa",
	"reserve",
	"flush",
	"event",
};

static const char *const dev_attr_names[] = {
	"unspec",
	"pad",
	"port",
	"fwmark",
	"bound-ifindex",
	"outer-csum",
	"df",
	"frag",
	"dscp",
	"ttl",
	"pmtu-discovery",
	"on-socket-loss",
	"replay-window",
	"peers",
	"sas",
	"socket",
	"stats",
	"unknown-spi",
	"foreign-netns",
	"nat-scope",
	"pool",
};

static const char *const pool_attr_names[] = {
	"unspec",
	"address",
	"prefix-len",
	"used",
};

static const char *const socket_attr_names[] = {
	"unspec",
	"fd",
	"port",
	"marker",
	"kind",
	"ipv4",
	"ipv6",
};

static const char *const peer_attr_names[] = {
	"unspec",
	"pad",
	"id",
	"name",
	"cookie",
	"mode",
	"local",
	"local-port",
	"remote",
	"remote-port",
	"keepalive",
	"roaming",
	"nat-local",
	"nat-remote",
	"tfc",
	"selector",
	"no-selectors",
	"mtu",
	"pmtu",
	"spi-in",
	"spi-out",
	"last-rx",
	"last-tx",
	"stats",
	"role",
	"virtual",
	"take-over",
	"ike",
};

static const char *const selector_attr_names[] = {
	"unspec",
	"local-from",
	"local-to",
	"remote-from",
	"remote-to",
	"protocol",
	"local-port-from",
	"local-port-to",
	"remote-port-from",
	"remote-port-to",
	"priority",
};

static const char *const sa_attr_names[] = {
	"unspec",
	"pad",
	"spi",
	"dir",
	"peer",
	"enc",
	"enc-key",
	"auth",
	"auth-key",
	"icv-bits",
	"esn",
	"replay-window",
	"seq",
	"remote",
	"remote-port",
	"soft-seconds",
	"hard-seconds",
	"soft-packets",
	"hard-packets",
	"soft-bytes",
	"hard-bytes",
	"state",
	"age",
	"packets",
	"bytes",
	"last-used",
	"stats",
	"driver",
	"oa-local",
	"oa-remote",
	"standby",
};

static const char *const reserve_attr_names[] = {
	"unspec",
	"peer",
	"spi-min",
	"spi-max",
	"timeout",
	"spi",
};

static const char *const stats_attr_names[] = {
	"unspec",
	"pad",
	"rx-packets",
	"rx-bytes",
	"tx-packets",
	"tx-bytes",
	"rx-ike",
	"rx-keepalive",
	"tx-keepalive",
	"drop",
};

static const char *const drop_count_attr_names[] = {
	"unspec",
	"pad",
	"reason",
	"count",
};

static const char *const unknown_spi_attr_names[] = {
	"unspec",
	"pad",
	"spi",
	"remote",
	"remote-port",
	"count",
	"age",
};

static const char *const event_attr_names[] = {
	"unspec",
	"pad",
	"type",
	"peer",
	"name",
	"cookie",
	"spi",
	"dir",
	"cause",
	"old-remote",
	"old-remote-port",
	"remote",
	"remote-port",
	"count",
	"lost",
	"local",
	"local-port",
	"initiator-spi",
	"responder-spi",
	"version",
	"exchange",
	"ike-flags",
	"message-id",
	"length",
};
