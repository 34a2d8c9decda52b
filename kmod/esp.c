// SPDX-License-Identifier: GPL-2.0
/* What ESP puts behind the payload: RFC 4303 sections 2.4 to 2.6. */
#include "esp.h"

void espudp_esp_trailer(u8 *p, unsigned int pad, u8 next_header)
{
	unsigned int i;

	for (i = 0; i < pad; i++)
		p[i] = i + 1;
	p[pad] = pad;
	p[pad + 1] = next_header;
}

enum espudp_drop espudp_esp_open(const u8 *p, unsigned int len,
				 unsigned int *payload, u8 *next_header)
{
	unsigned int i, pad;

	if (len < 2)
		return ESPUDP_DROP_RX_PAD;
	pad = p[len - 2];
	if (pad > len - 2)
		return ESPUDP_DROP_RX_PAD;

	*next_header = p[len - 1];
	*payload = len - 2 - pad;
	p += *payload;
	for (i = 0; i < pad; i++)
		if (p[i] != i + 1)
			return ESPUDP_DROP_RX_PAD;
	return ESPUDP_DROP_NONE;
}

#ifdef ESPUDP_DEBUG
#include "selftest/esp.c"
#endif
