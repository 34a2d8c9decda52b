/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_TX_H
#define _ESPUDP_TX_H

#include "queue.h"

netdev_tx_t espudp_tx_xmit(struct sk_buff *skb, struct net_device *dev);
int espudp_tx_poll(struct napi_struct *napi, int budget);
void espudp_tx_drop(struct espudp_job *job);
void espudp_tx_exit(void);

#endif
