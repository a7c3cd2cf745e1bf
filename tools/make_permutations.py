"""Chooses permutations of jigsaw tiles: python -m tools.make_permutations --count=100 --seed=0 --output=100.txt"""

from absl import flags

from ssl_keras import cli
from ssl_keras.errors import UserError

flags.DEFINE_integer("count", 1000, "how many permutations", lower_bound=2)
flags.DEFINE_integer("tiles", 9, "how many tiles each permutes", lower_bound=2, upper_bound=9)
flags.DEFINE_integer("seed", 0, "of the draws", lower_bound=0)
cli.define_path("output", "", "the text file to write, a line for each permutation")


def main():
    args = flags.FLAGS
    if not args.output:
        raise UserError("--output is missing: name the text file to write")
    from ssl_keras import files
    from ssl_keras.views.pretext import permutations

    files.refuse_foreign(args.output, permutations.is_list)
    chosen = permutations.greedy(args.count, args.seed, args.tiles)
    files.write_text(args.output, permutations.text(chosen), permutations.is_list)
    mean, smallest = permutations.distances(chosen)
    print(f"written: {args.output}   Hamming distances: mean {mean:.2f}, smallest {smallest}")


if __name__ == "__main__":
    cli.run(main)
