"""A phase that ends by what the trainer reports."""

import itertools

import support
from support import BATCH, END, FIRST, SamplerCase

import curriculum_client as curriculum

WATCHED = {"allOf": [{"metric": "val", "atLeast": "0.9"}], "minimumSteps": 5}


def watched():
    what = support.attempt()
    what["curriculum"]["phases"][1]["advance"] = WATCHED
    return what


class EarlyEnd(SamplerCase):
    def serving(self):
        self.whole = list(curriculum.BatchSampler(client=curriculum.Sampler(self.start().url)))
        sampler = self.start(watched())
        return sampler, curriculum.Sampler(sampler.url)

    def trained(self, sampler, steps):
        result = sampler.result()
        self.assertEqual((result["servedStep"], result["decision"]["step"], result["endStep"]), (FIRST + steps, FIRST + steps, END))
        self.assertEqual(result["decision"]["kind"], "Advance")

    def test_the_loop_ends_where_the_sampler_decides_with_the_rows_as_planned(self):
        sampler, client = self.serving()
        batches = curriculum.BatchSampler(client=client, prefetch=4)
        taken = []
        for rows in batches:
            taken.append(rows)
            reply = batches.report(batches.step, {"val": 0.95 if len(taken) == 10 else 0.5})
        # 4 batches at a time: 12 were asked for, and one more follows.
        self.assertEqual(taken, self.whole[:13])
        self.assertEqual((batches.step, batches.end_step, len(batches)), (FIRST + 13, FIRST + 13, 0))
        self.assertEqual((reply["decision"], reply["endStep"]), ("advance", FIRST + 13))
        self.trained(sampler, 13)

    def test_other_ranks_hear_of_it_by_the_batches_that_they_ask_for(self):
        sampler, client = self.serving()
        ranks = [curriculum.BatchSampler(client=client, rank=rank, world_size=2, prefetch=3) for rank in range(2)]
        parts = []
        for pair in itertools.zip_longest(*ranks):
            parts.append(sum(pair, []))
            if len(parts) == 7:
                ranks[0].report(FIRST + 7, {"val": 0.95})
        self.assertEqual(parts, self.whole[: len(parts)])
        self.assertEqual(len(parts), 10)
        self.trained(sampler, 10)

    def test_a_loader_that_asks_ahead_trains_what_it_was_given_and_the_last_batch_counts_when_it_is_wanted(self):
        sampler, client = self.serving()
        batches = curriculum.BatchSampler(client=client, prefetch=2)

        def loader():
            ahead = iter(batches)
            queue = list(itertools.islice(ahead, 4))
            while queue:
                yield queue.pop(0)
                queue.extend(itertools.islice(ahead, 1))

        taken = []
        for rows in batches.track(loader()):
            taken.append(rows)
            if len(taken) == 6:
                batches.report(batches.step, {"val": 0.95})
            if len(taken) > 6 and batches.step < batches.end_step:
                self.assertLess(client.status()["servedStep"], batches.end_step)
        self.assertEqual(taken, self.whole[: len(taken)])
        self.assertLess(len(taken), 14)
        self.trained(sampler, len(taken))

    def test_a_trainer_that_goes_back_to_its_checkpoint_ends_there_too(self):
        sampler, client = self.serving()
        batches = curriculum.BatchSampler(client=client, prefetch=1)
        for _ in zip(range(6), batches):
            state = batches.state_dict()
        batches.report(batches.step, {"val": 0.95})
        again = curriculum.BatchSampler(client=client)
        again.load_state_dict({**state, "step": FIRST + 3})
        self.assertEqual(list(again), self.whole[3:7])
        self.trained(sampler, 7)

    def test_more_processes_than_one_batch_need_not_know(self):
        sampler, client = self.serving()
        session = client.open_session()["session"]
        step = FIRST
        for _ in range(5):
            step += client.fetch(step, 1, session=session)[0]
        client.report(step, {"val": 1})
        got = []
        while count := client.fetch(step, 64, session=session)[0]:
            got.append(count)
            step += count
        self.assertEqual(got, [1])
        self.assertEqual(BATCH * len(self.whole), BATCH * (END - FIRST))
        self.trained(sampler, 6)
