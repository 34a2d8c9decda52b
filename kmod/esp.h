/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_ESP_H
#define _ESPUDP_ESP_H

#include <linux/types.h>
#include <uapi/linux/espudp.h>

#define ESPUDP_NH_DUMMY 59	/* RFC 4303 section 2.6 */

/**
 * espudp_esp_trailer() - write padding, pad length and next header
 * @p: behind the payload
 * @pad: octets of padding, 0 to 255; they become 1, 2, 3, ...
 * @next_header: protocol of the payload
 *
 * RFC 4303 sections 2.4 to 2.6. Writes @pad + 2 octets.
 */
void espudp_esp_trailer(u8 *p, unsigned int pad, u8 next_header);

/**
 * espudp_esp_open() - read and check the trailer of a decrypted payload
 * @p: payload, padding and trailer
 * @len: their length, without the ICV
 * @payload: set to the payload's length
 * @next_header: set to its protocol
 *
 * Return: ESPUDP_DROP_NONE, or ESPUDP_DROP_RX_PAD.
 */
enum espudp_drop espudp_esp_open(const u8 *p, unsigned int len,
				 unsigned int *payload, u8 *next_header);

#ifdef ESPUDP_DEBUG
bool espudp_esp_selftest(void);
#endif

#endif
