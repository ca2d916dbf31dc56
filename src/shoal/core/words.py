"""Sixty-four adjectives and sixty-four animals, easily said and told apart."""

ADJECTIVES = """
    able agile amber ample azure bold brave brief bright brisk calm candid civil
    clear clever coral crisp curly deft eager early easy fair fast fine firm fleet
    fond frank free fresh gentle glad golden grand green happy hardy humble ideal
    jolly keen kind lively loyal lucky merry mild neat noble polite proud quick
    quiet rapid ready silver smart steady sunny swift tidy warm witty
"""

ANIMALS = """
    adder badger bear beaver bison bream carp clam cod conger crab crane cray dace
    dolphin eel egret falcon finch gannet goby grebe gull hake heron herring ibis
    koi krill lamprey ling lobster loon mackerel manatee marlin mullet mussel
    narwhal newt octopus orca osprey otter oyster perch pike plaice plover prawn
    puffin ray roach salmon seal shrimp skate sole sprat squid tench tern trout tuna
"""
