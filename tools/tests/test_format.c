// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "../format.h"
#include "unit.h"

void test_format(void)
{
	check(!strcmp(format_bytes(0), "0 B"));
	check(!strcmp(format_bytes(1023), "1023 B"));
	check(!strcmp(format_bytes(1536), "1.50 KiB"));
	check(!strcmp(format_bytes(5ULL << 40), "5.00 TiB"));
	check(!strcmp(format_seconds(0), "0 seconds"));
	check(!strcmp(format_seconds(1), "1 second"));
	check(!strcmp(format_seconds(3661), "1 hour, 1 minute"));
	check(!strcmp(format_seconds(90061), "1 day, 1 hour"));
	check(!strcmp(format_seconds(60), "1 minute"));
	check(!strcmp(format_ago(999), "now"));
	check(!strcmp(format_ago(2000), "2 seconds ago"));
	check(!strcmp(format_name("alice", false), "alice"));
	check(!strcmp(format_name("a\x1b[31m\n", false), "a\\x1b[31m\\x0a"));
	check(!strcmp(format_name("caf\xc3\xa9", false), "caf\xc3\xa9"));
	check(!strcmp(format_name("\xc3(", false), "\\xc3("));
	check(!strcmp(format_name("\xc0\x80\xed\xa0\x80", false),
		      "\\xc0\\x80\\xed\\xa0\\x80"));
	check(!strcmp(format_name("\xc2\x9b", false), "\\xc2\\x9b"));
	check(!strcmp(format_name("\xe2\x82", false), "\\xe2\\x82"));
	check(!strcmp(format_name(" a # b ", true), "\\x20a \\x23 b\\x20"));
	check(!strcmp(format_name(" a # b ", false), " a # b "));
	check(!strcmp(format_ike(0x10, 2, 0), "v1 main-mode"));
	check(!strcmp(format_ike(0x10, 32, 0xff), "v1 quick-mode"));
	check(!strcmp(format_ike(0x10, 34, 0), "v1 exchange 34"));
	check(!strcmp(format_ike(0x20, 34, 0x08), "v2 IKE_SA_INIT request"));
	check(!strcmp(format_ike(0x20, 35, 0x28), "v2 IKE_AUTH response"));
	check(!strcmp(format_ike(0x21, 43, 0x20),
		      "v2.1 IKE_INTERMEDIATE response"));
	check(!strcmp(format_ike(0x20, 2, 0), "v2 exchange 2 request"));
	check(!strcmp(format_ike(0xff, 255, 0), "v15.15 exchange 255"));
	check(!strcmp(names_get(&names_mode, 1), "transport"));
	check(!strcmp(names_get(&names_mode, 268435457), "unknown(268435457)"));
	check(names_find(&names_nat, "yes") == ESPUDP_NAT_YES);
	check(names_find(&names_nat, "maybe") == -1);
	check(!strcmp(names_list(&names_df, 0), "copy, set or clear"));
}
