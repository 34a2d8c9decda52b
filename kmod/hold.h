/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_HOLD_H
#define _ESPUDP_HOLD_H

#include <linux/types.h>

struct espudp_dev;
struct sk_buff;

void espudp_hold_init(struct espudp_dev *edev);
void espudp_hold_stop(struct espudp_dev *edev);
void espudp_hold(struct espudp_dev *edev, struct sk_buff *skb, __be32 spi);
void espudp_hold_release(struct espudp_dev *edev, __be32 spi);

#endif
