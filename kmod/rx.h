/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_RX_H
#define _ESPUDP_RX_H

#include "queue.h"

void espudp_rx_queue(struct espudp_dev *edev, struct sk_buff *skb, __be32 spi);
int espudp_rx_poll(struct napi_struct *napi, int budget);
void espudp_rx_drop(struct espudp_job *job);
void espudp_rx_exit(void);

#endif
