// SPDX-License-Identifier: GPL-2.0
#include "../util.h"
#include "unit.h"

unsigned int unit_checks, unit_failures;

int main(void)
{
	error_silence(true);
	test_parse();
	test_prefix();
	test_key();
	test_format();
	test_codec();
	test_conf();
	printf("%u checks, %u failed\n", unit_checks, unit_failures);
	return unit_failures || !unit_checks;
}
