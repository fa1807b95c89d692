/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "mailbox.h"

#include "error.h"

int mailbox_init(struct mailbox *mailbox, size_t max_items, size_t max_bytes)
{
	*mailbox = (struct mailbox){.max_items = max_items, .max_bytes = max_bytes, .asleep = true};
	return pthread_mutex_init(&mailbox->lock, NULL) == 0 ? ERROR_NONE : ERROR_SYSTEM;
}

void mailbox_destroy(struct mailbox *mailbox)
{
	pthread_mutex_destroy(&mailbox->lock);
}

int mailbox_push(struct mailbox *mailbox, struct mail *mail, bool forced, bool *wake)
{
	int error = ERROR_NONE;

	*wake = false;
	mail->next = NULL;
	pthread_mutex_lock(&mailbox->lock);
	if (!forced && (mailbox->items >= mailbox->max_items ||
			       mailbox->bytes + mail->bytes > mailbox->max_bytes)) {
		error = ERROR_FULL;
	} else {
		if (mailbox->last)
			mailbox->last->next = mail;
		else
			mailbox->first = mail;
		mailbox->last = mail;
		mailbox->items++;
		mailbox->bytes += mail->bytes;
		*wake = mailbox->asleep;
		mailbox->asleep = false;
	}
	pthread_mutex_unlock(&mailbox->lock);
	return error;
}

struct mail *mailbox_pop(struct mailbox *mailbox)
{
	struct mail *mail;

	pthread_mutex_lock(&mailbox->lock);
	mail = mailbox->first;
	if (mail) {
		mailbox->first = mail->next;
		if (!mailbox->first)
			mailbox->last = NULL;
		mailbox->items--;
		mailbox->bytes -= mail->bytes;
	} else {
		mailbox->asleep = true;
	}
	pthread_mutex_unlock(&mailbox->lock);
	return mail;
}

struct mail *mailbox_take(struct mailbox *mailbox, bool sleeps)
{
	struct mail *all;

	pthread_mutex_lock(&mailbox->lock);
	all = mailbox->first;
	mailbox->first = mailbox->last = NULL;
	mailbox->items = mailbox->bytes = 0;
	if (!all && sleeps)
		mailbox->asleep = true;
	pthread_mutex_unlock(&mailbox->lock);
	return all;
}
