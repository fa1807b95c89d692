/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <semaphore.h>

#include "bridge/error.h"
#include "bridge/mailbox.h"

struct letter {
	struct mail mail; /* first */
	unsigned number;
};

static struct mailbox mailbox;

static int setup(void **state)
{
	return mailbox_init(&mailbox, 4, 100);
}

static int teardown(void **state)
{
	mailbox_destroy(&mailbox);
	return 0;
}

static int push(struct letter *letter, size_t bytes, bool forced, bool expect_wake)
{
	bool wake = !expect_wake;
	int error;

	letter->mail.bytes = bytes;
	error = mailbox_push(&mailbox, &letter->mail, forced, &wake);
	assert_int_equal(wake, expect_wake);
	return error;
}

static void in_order(void **state)
{
	struct letter letters[3];

	assert_null(mailbox_pop(&mailbox));
	for (int i = 0; i < 3; i++)
		assert_int_equal(push(&letters[i], 1, false, i == 0), 0);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(mailbox_pop(&mailbox), &letters[i].mail);
	assert_null(mailbox_pop(&mailbox));
}

static void woken_once_until_found_empty(void **state)
{
	struct letter letters[3];

	/* The reader sleeps from the beginning. */
	assert_int_equal(push(&letters[0], 1, false, true), 0);
	assert_int_equal(push(&letters[1], 1, false, false), 0);
	assert_non_null(mailbox_pop(&mailbox));
	assert_non_null(mailbox_pop(&mailbox));
	/* It has not seen yet that there is no more: it will look. */
	assert_int_equal(push(&letters[2], 1, false, false), 0);
	assert_non_null(mailbox_pop(&mailbox));
	assert_null(mailbox_pop(&mailbox));
	assert_int_equal(push(&letters[0], 1, false, true), 0);
	assert_non_null(mailbox_pop(&mailbox));
}

static void bounded_by_items(void **state)
{
	struct letter letters[6];

	for (int i = 0; i < 4; i++)
		assert_int_equal(push(&letters[i], 0, false, i == 0), 0);
	assert_int_equal(push(&letters[4], 0, false, false), ERROR_FULL);
	/* The few that may not be lost find room. */
	assert_int_equal(push(&letters[5], 0, true, false), 0);
	assert_ptr_equal(mailbox_pop(&mailbox), &letters[0].mail);
	assert_int_equal(push(&letters[4], 0, false, false), ERROR_FULL);
	assert_ptr_equal(mailbox_pop(&mailbox), &letters[1].mail);
	assert_int_equal(push(&letters[4], 0, false, false), 0);
	while (mailbox_pop(&mailbox))
		;
}

static void bounded_by_bytes(void **state)
{
	struct letter letters[4];

	assert_int_equal(push(&letters[0], 60, false, true), 0);
	assert_int_equal(push(&letters[1], 41, false, false), ERROR_FULL);
	assert_int_equal(push(&letters[1], 40, false, false), 0);
	assert_int_equal(push(&letters[2], 1, false, false), ERROR_FULL);
	assert_int_equal(push(&letters[2], 1000, true, false), 0);
	assert_non_null(mailbox_pop(&mailbox));
	assert_int_equal(push(&letters[3], 1, false, false), ERROR_FULL);
	assert_non_null(mailbox_pop(&mailbox));
	assert_non_null(mailbox_pop(&mailbox));
	assert_int_equal(push(&letters[3], 100, false, false), 0);
	assert_non_null(mailbox_pop(&mailbox));
	/* Refused from an empty one: the reader need not be woken for it. */
	assert_null(mailbox_pop(&mailbox));
	assert_int_equal(push(&letters[3], 101, false, false), ERROR_FULL);
	assert_int_equal(push(&letters[3], 100, false, true), 0);
	assert_non_null(mailbox_pop(&mailbox));
}

static void taken_at_once(void **state)
{
	struct letter letters[3];
	struct mail *mail;

	assert_int_equal(push(&letters[0], 1, false, true), 0);
	assert_int_equal(push(&letters[1], 2, false, false), 0);
	mail = mailbox_take(&mailbox, true);
	assert_ptr_equal(mail, &letters[0].mail);
	assert_ptr_equal(mail->next, &letters[1].mail);
	assert_null(mail->next->next);
	/* Not asleep before it has found nothing, and said that it will sleep then. */
	assert_int_equal(push(&letters[2], 100, false, false), 0);
	assert_ptr_equal(mailbox_take(&mailbox, false), &letters[2].mail);
	assert_null(mailbox_take(&mailbox, false));
	assert_int_equal(push(&letters[0], 1, false, false), 0);
	assert_ptr_equal(mailbox_take(&mailbox, true), &letters[0].mail);
	assert_null(mailbox_take(&mailbox, true));
	assert_int_equal(push(&letters[0], 1, false, true), 0);
	assert_non_null(mailbox_pop(&mailbox));
}

/* Two threads: none is lost or doubled, their order is kept, and whoever sleeps is woken. */
#define LETTERS 50000

static struct {
	sem_t bell;
	unsigned refused, wakes;
} threads;

static void *write_letters(void *context)
{
	struct letter *letter;
	bool wake;

	for (unsigned number = 0; number < LETTERS; number++) {
		letter = malloc(sizeof *letter);
		if (!letter)
			abort();
		letter->mail.bytes = 1 + number % 30;
		letter->number = number;
		while (mailbox_push(&mailbox, &letter->mail, number % 100 == 0, &wake)) {
			threads.refused++;
			sched_yield();
		}
		if (wake) {
			threads.wakes++;
			sem_post(&threads.bell);
		}
	}
	return NULL;
}

static void two_threads(void **state)
{
	struct letter *letter;
	pthread_t writer;
	unsigned number = 0, slept = 0;

	memset(&threads, 0, sizeof threads);
	assert_int_equal(sem_init(&threads.bell, 0, 0), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_letters, NULL), 0);
	while (number < LETTERS) {
		letter = (struct letter *)mailbox_pop(&mailbox);
		if (!letter) {
			slept++;
			while (sem_wait(&threads.bell) != 0)
				;
			continue;
		}
		assert_int_equal(letter->number, number);
		free(letter);
		number++;
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_null(mailbox_pop(&mailbox));
	/* One ring for each sleep, and the first one, which found it asleep from the start. */
	assert_true(threads.wakes == slept || threads.wakes == slept + 1);
	sem_destroy(&threads.bell);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(in_order),
		TEST(woken_once_until_found_empty),
		TEST(bounded_by_items),
		TEST(bounded_by_bytes),
		TEST(taken_at_once),
		TEST(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
